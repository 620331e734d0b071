import { markdown } from '../report/markdown.ts';
import { median } from '../stats.ts';
import { type Peer, seeds } from './class-task.ts';
import { shareFigure } from './figure.ts';
import { ratesTable } from './rates-table.ts';
import type { Run } from './runs.ts';
import { spam, tokens } from './spam.ts';
import { isWithinNoise, type Standing, shown, standingsOf } from './standing.ts';

const peers: Readonly<Record<Peer, string>> = {
  peft: 'Hugging Face PEFT 0.21.2',
  adapters: 'adapters 1.3.0',
  torch: 'PyTorch alone',
};

const firstOf = ({ runs }: Standing): readonly number[] => runs.flatMap(({ first }) => first);

/** The largest distance between values of runs from the same seed. */
const apart = (ours: Standing, peer: Standing, of: (run: Run) => readonly number[]): number => {
  const pairs = ours.runs.flatMap((run) => {
    const other = peer.runs.find(({ seed }) => seed === run.seed);
    return other ? of(run).map((value, i) => Math.abs(value - of(other)[i]!)) : [];
  });
  return Math.max(0, ...pairs);
};

const quotient = (ours: Standing, peer: Standing, of: (run: Run) => number): string =>
  (median(ours.runs.map(of)) / median(peer.runs.map(of))).toFixed(2);

const mib = ({ runs }: Standing): string => (median(runs.map(({ resident }) => resident)) / 2 ** 20).toFixed(0);

/** Yes, no, or a dash where one run cannot tell. */
const sameOf = (ours: Standing, peer: Standing): string => {
  const [accuracy, f1] = [isWithinNoise(ours.accuracy, peer.accuracy), isWithinNoise(ours.macroF1, peer.macroF1)];
  if (accuracy === null || f1 === null) return '–';
  return accuracy && f1 ? 'yes' : 'no';
};

const qualityHead = [
  'method',
  'options',
  'trained',
  'rate',
  'accuracy, ours',
  'accuracy, peer',
  'F1, ours',
  'F1, peer',
  'within noise',
  'peer',
];

const costHead = [
  'method',
  'tokens / CPU s, ours',
  'peer',
  'ours / peer',
  'MiB, ours',
  'peer',
  'ours / peer',
  'first losses apart',
];

/** The page of MiniLM taught to tell spam, and its figure. */
export const spamPage = (runs: readonly Run[]): readonly (readonly [name: string, text: string])[] => {
  const own = standingsOf(spam.contenders, runs, 'ours');
  const others = new Map(
    standingsOf(spam.contenders, runs, 'peer').map((standing) => [standing.contender.name, standing]),
  );
  const made = [...own, ...others.values()].reduce((n, standing) => n + standing.runs.length, 0);
  const all = 2 * spam.contenders.length * seeds.length;
  const qualityRows = own.map((ours) => {
    const { contender, accuracy, macroF1 } = ours;
    const peer = others.get(contender.name);
    return [
      `\`${contender.name}\``,
      contender.about,
      ours.runs[0]!.parameters.toLocaleString('en'),
      String(ours.runs[0]!.learningRate),
      shown(accuracy),
      peer ? shown(peer.accuracy) : '–',
      shown(macroF1),
      peer ? shown(peer.macroF1) : '–',
      peer ? sameOf(ours, peer) : '–',
      peers[contender.peer!],
    ];
  });
  const speedOf = ({ runs: told }: Standing): string =>
    Math.round(tokens * median(told.map(({ rowsPerSecond }) => rowsPerSecond))).toLocaleString('en');
  const costRows = own.map((ours) => {
    const peer = others.get(ours.contender.name);
    const name = `\`${ours.contender.name}\``;
    if (!peer) return [name, speedOf(ours), '–', '–', mib(ours), '–', '–', '–'];
    return [
      name,
      speedOf(ours),
      speedOf(peer),
      quotient(ours, peer, ({ rowsPerSecond }) => rowsPerSecond),
      mib(ours),
      mib(peer),
      quotient(ours, peer, ({ resident }) => resident),
      firstOf(peer).length > 0 ? apart(ours, peer, ({ first }) => first).toExponential(0) : '–',
    ];
  });
  const unlike = own.filter((ours) => {
    const peer = others.get(ours.contender.name);
    return peer && peer.runs[0]!.parameters !== ours.runs[0]!.parameters;
  });
  const pairs = own.flatMap((ours) => {
    const peer = others.get(ours.contender.name);
    return peer ? [apart(ours, peer, ({ accuracy }) => [accuracy])] : [];
  });
  const unsteady = own.filter(({ accuracy }) => (accuracy.spread ?? 0) > 0.05);
  const { steps, batchSize } = spam;
  const text = `<!-- Made by \`pnpm bench --task spam --model FOLDER\`. -->

# Spam or not, beside PyTorch

all-MiniLM-L6-v2 (22.7 million weights, 6 layers of 384) taught to tell spam from other mails: 1,200 public mails of SpamAssassin, as many spam as not, split by a hash of their words into
two thirds to learn from and a third to test on. ${steps} steps of ${batchSize} × ${tokens} tokens (subject and first words), f32. Each training was made twice: by peftjs, and by PyTorch with the library
that has the method, from the same first values, batches in the same order, and rates.

![Accuracy by method](classification.svg)

${markdown([qualityHead, ...qualityRows])}

${made < all ? `${all - made} of ${all} runs are not there yet.\n\n` : ''}- In percent, means of ${seeds.length} seeds, which draw the head, the adapter's first values and the order of the mails; ± is the standard deviation over them. F1 is the mean of both classes.
- *Within noise*: accuracy and F1 of the two libraries lie no further apart than both spread together.${pairs.length > 0 ? ` Seed by seed their accuracies are at most ${(100 * Math.max(...pairs)).toFixed(1)} points apart.` : ''}
${
  unsteady.length > 0
    ? `- Of ${unsteady.map(({ contender }) => `\`${contender.name}\``).join(', ')} the seeds end far from each other: the rate that suits one is too high or too low for another, or the steps too few. Such a mean tells little of the method.
`
    : ''
}- The adapter's first values go over as its file (LoRA and (IA)³, loaded by \`PeftModel.from_pretrained\`; prompt tuning, by \`set_peft_model_state_dict\`, as the former refuses to train prompts) or as tensors by their names (BitFit, Houlsby, all weights). ${unlike.length === 0 ? 'Both sides train as many parameters.' : `The sides do not train as many parameters of ${unlike.map(({ contender }) => `\`${contender.name}\``).join(', ')}.`}
- AdamW without decay, gradients clipped to norm 1, a warm-up of ${Math.floor(steps / 15)} steps, then half a cosine; no dropout on either side, since each library draws its own.
- So few steps are the beginning of a training: a method with a low place here may only be slow, as prompt tuning is known to be.

## Speed and memory

${markdown([costHead, ...costRows])}

- Tokens (padding counts) that a second of processor time trains, on ${own[0]?.runs[0]?.threads === 1 ? 'one thread' : `${own[0]?.runs[0]?.threads} threads`}: user and system time of the process, which tells what the work costs even where others use the machine, as they did; medians of the seeds. Above 1 we are faster.
- MiB are the most that the process had resident while it trained (\`VmHWM\`), its runtime included. Below 1 we take less.
- *First losses apart*: the largest difference between the losses of the first three steps, in nats.

## Rates

A factor √10 apart, tried by peftjs with one seed, chosen by the loss on a quarter of the mails to learn from, withheld while the others are learnt; the same rate for both libraries. Test mails are never looked at.

${ratesTable(spam.contenders, runs)}
`;
  const figure = shareFigure(
    'accuracy on the test mails',
    ['peftjs', 'PyTorch'],
    own.map(({ contender, accuracy }) => ({
      name: contender.name,
      estimates: [accuracy, others.get(contender.name)?.accuracy],
    })),
  );
  return [
    ['classification.md', text],
    ['classification.svg', figure],
  ];
};
