import { markdown } from '../report/markdown.ts';
import { seeds } from './class-task.ts';
import { shareFigure } from './figure.ts';
import { images } from './images.ts';
import { ratesTable } from './rates-table.ts';
import type { Run } from './runs.ts';
import { isWithinNoise, type Standing, shown, standingsOf } from './standing.ts';

const named = (all: readonly Standing[]): string => all.map(({ contender }) => `\`${contender.name}\``).join(', ');

/** Who stands clearly above linear probing, and who does not, of those with several seeds. */
const verdictOf = (standings: readonly Standing[]): string => {
  const probe = standings.find(({ contender }) => contender.name === 'the head alone');
  if (!probe) return '';
  const others = standings.filter((own) => own !== probe && own.accuracy.spread !== null);
  const isAbove = (own: Standing): boolean =>
    own.accuracy.mean > probe.accuracy.mean && isWithinNoise(own.accuracy, probe.accuracy) === false;
  const [above, rest] = [others.filter(isAbove), others.filter((own) => !isAbove(own))];
  return [
    above.length > 0 ? `Above the head alone by more than both spread: ${named(above)}.` : '',
    rest.length > 0 ? `Not told apart from it: ${named(rest)}.` : '',
  ]
    .filter(Boolean)
    .join(' ');
};

/** The page of methods for pictures, and its figure. */
export const imagesPage = (runs: readonly Run[]): readonly (readonly [name: string, text: string])[] => {
  const standings = standingsOf(images.contenders, runs, 'ours');
  const made = standings.reduce((n, own) => n + own.runs.length, 0);
  const all = images.contenders.length * seeds.length;
  const ordered = [...standings].sort((a, b) => b.accuracy.mean - a.accuracy.mean);
  const rows = ordered.map(({ contender, accuracy, macroF1, runs: own }) => [
    `\`${contender.name}\``,
    contender.about,
    own[0]!.parameters.toLocaleString('en'),
    String(own[0]!.learningRate),
    shown(accuracy),
    shown(macroF1),
    ((own[0]!.planned ?? 0) / 2 ** 20).toFixed(0),
    String(own.length),
  ]);
  const head = ['method', 'options', 'trained', 'rate', 'accuracy, %', 'macro F1, %', 'planned MiB', 'seeds'];
  const { steps, batchSize } = images;
  const text = `<!-- Made by \`pnpm bench --task images\`. -->

# Methods for pictures

Coats, pullovers and shirts, told apart by the vision transformer of \`@peftjs/base-vit\` (0.8 million weights), which was taught seven other kinds of clothes and has seen none of these.
300 pictures to learn from, 300 to test on, ${steps} steps of ${batchSize}; the same head is trained beside every method. These three are the kinds of Fashion-MNIST that are confused most.

![Accuracy by method](images.svg)

${markdown([head, ...rows])}

${made < all ? `${all - made} of ${all} runs are not there yet. ` : ''}${verdictOf(standings)}

- Accuracy and the mean over classes of the F1 score on the test pictures: means of ${seeds.length} seeds, which draw first values and the order of the pictures; ± is the standard deviation over them. The pictures are the same 300 for all, so this is not how far another 300 might differ: that is ±2.7 points for one run at 65 %.
- Parameters are those that are trained, the head's 387 among them. They are not made equal: each method has the size that its authors' code or the demo has, made narrower where that would be as large as the model.
- Rates are a factor √10 apart. They are chosen by the loss on 75 of the pictures to learn from, withheld while the other 225 are learnt, with one seed; test pictures are never looked at. The runs of the table then learn from all 300.
- AdamW without decay, gradients clipped to norm 1, a warm-up of ${Math.floor(steps / 15)} steps, then half a cosine. Nothing is added to the pictures (no shifts, no mirrors).
- ${steps} steps are the beginning of a training, and one rate is for head and method alike: what starts with small changes (\`adaptFormer\` adds a tenth of its bottleneck, \`ssf\` scales by nearly 1) is still near to linear probing and may rank higher after more.
- Three hundred pictures and a model this small tell that the methods train and that they differ from linear probing; the order of those that are a point apart is chance.

## Rates

${ratesTable(images.contenders, runs)}
`;
  const figure = shareFigure(
    'accuracy on 300 test pictures',
    ['mean of the seeds ± spread'],
    ordered.map(({ contender, accuracy }) => ({ name: contender.name, estimates: [accuracy] })),
  );
  return [
    ['images.md', text],
    ['images.svg', figure],
  ];
};
