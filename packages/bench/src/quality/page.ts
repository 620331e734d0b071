import { methods as factories } from '@peftjs/cli/shared';
import { markdown } from '../report/markdown.ts';
import { qualityFigure } from './figure.ts';
import { aboveBase, leftOut, slowSteps, tried } from './methods.ts';
import { budget } from './sizes.ts';
import type { Speed } from './speed.ts';
import { type Standing, standings } from './standing.ts';
import type { Trial } from './trials.ts';

const count = (n: number): string => n.toLocaleString('en');

/** `rank 4, alpha 8`: what is not the method's own, the target apart. */
const shownOptions = ({ options: { target: _, steps: __, ...own } }: Standing): string =>
  Object.entries(own)
    .map(
      ([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toPrecision(3)) : JSON.stringify(value)}`,
    )
    .join(', ') || '–';

const rowOf = (baseLoss: number, speeds: readonly Speed[]): ((standing: Standing) => string[]) => {
  const bySpeed = new Map(speeds.map((speed) => [speed.method, speed]));
  return (standing) => {
    const { method, parameters, loss, spread, learningRate, planned } = standing;
    const speed = bySpeed.get(method);
    const own = factories.get(method)?.learningRate;
    return [
      `\`${method}\``,
      count(parameters),
      loss.toFixed(3),
      spread === null ? '–' : spread.toFixed(3),
      (baseLoss - loss).toFixed(3),
      String(learningRate),
      own === undefined ? '–' : String(own),
      (planned / 2 ** 20).toFixed(0),
      speed ? count(Math.round(speed.tokensPerSecond)) : '–',
      speed ? speed.besideLora.toFixed(2) : '–',
      shownOptions(standing),
    ];
  };
};

const head = [
  'method',
  'trained',
  'held-out loss',
  '±',
  'gain',
  'best rate',
  "papers' rate",
  'planned MiB',
  'tokens/s',
  'step / LoRA',
  'options',
];

/** The page of the quality of methods, and its figure. */
export const qualityPage = (
  trials: readonly Trial[],
  speeds: readonly Speed[],
): { readonly text: string; readonly figure: string } => {
  const { base, methods } = standings(trials);
  const folds = (name: string): boolean => factories.get(name)?.merges ?? false;
  const { steps, batchSize } = trials[0]!;
  const tableOf = (own: readonly Standing[]): string => markdown([head, ...own.map(rowOf(base, speeds))]);
  const near = methods.filter(({ parameters }) => Math.abs(parameters / budget - 1) <= 0.1).length;
  const few = methods.filter(({ seeds }) => seeds < 3);
  const missing = tried()
    .filter((name) => !methods.some(({ method }) => method === name))
    .sort();
  const slow = speeds.filter(({ besideLora }) => besideLora > 1.5).sort((a, b) => b.besideLora - a.besideLora);
  const reasons = slow.map(
    ({ method, besideLora }) =>
      `\`${method}\` (${besideLora.toFixed(2)}) ${slowSteps[method] ?? 'was not looked into yet'}`,
  );
  const above = methods
    .filter(({ loss }) => loss > base)
    .map(({ method }) => `\`${method}\` ${aboveBase[method] ?? 'was not looked into yet'}`);
  const text = `# Which method, which learning rate

Every method on the same base, text and steps, each with the learning rate that suits it best, made by \`pnpm bench --task quality\`. The base is the model of
\`@peftjs/base-model\` (3 million weights), the text Moby-Dick, of which the base has seen nothing; ${steps} steps of ${batchSize} × 64 tokens. A model and a run
this small tell how methods compare when each has its rate, and what rate that is; they don't tell which is best for yours.

![Held-out loss against trained parameters](quality.svg)

- Trained parameters are as near to ${count(budget)} (LoRA of rank 4 on all linear layers of the blocks) as a method's options let them: ${near} of ${methods.length} methods within 10 %. The true number is told.
- Rates are a factor √10 apart. From a usual one on they are tried upwards and downwards, with one seed, until both neighbours of the best on validation chapters are worse.
- The held-out loss is of other chapters (6,144 tokens), in nats a token, the mean of three seeds, which draw first values and the order of the text; ± is the standard deviation. The base's is ${base.toFixed(3)}.
- The best rate is AdamW's peak after a warm-up, then a cosine. The papers' rate is for the models of their papers: narrow models want higher ones.
- MiB are the planned peak of a step on the cpu executor, weights and optimiser included. Tokens/s and the step's time beside LoRA's are measured on an idle machine by \`pnpm bench --task quality --speed\`.
- Not there: ${Object.entries(leftOut)
    .map(([name, why]) => `\`${name}\` ${why}`)
    .join('; ')}.
${above.length > 0 ? `- Above the base: ${above.join('; ')}.\n` : ''}${slow.length > 0 ? `- Steps of more than 1.5 of LoRA's time: ${reasons.join('; ')}.\n` : ''}${missing.length > 0 ? `- Not tried yet: ${missing.map((name) => `\`${name}\``).join(', ')}.\n` : ''}${few.length > 0 ? `- ${few.length} of ${methods.length} methods have fewer than three seeds so far, those with one no ±: there a difference below 0.02 says nothing.\n` : ''}
## Methods that fold into the weights

${tableOf(methods.filter(({ method }) => folds(method)))}

## Others

${tableOf(methods.filter(({ method }) => !folds(method)))}
`;
  return { text, figure: qualityFigure(methods, base, folds) };
};
