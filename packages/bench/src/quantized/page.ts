import { markdown } from '../report/markdown.ts';
import { type Outcome, outcomeOf } from './results.ts';
import { runs, settings } from './runs.ts';

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);

const cellsOf = ({ name, of, bits, parameters, base, before, after, merged, undone, planned, resident }: Outcome) => [
  name,
  `\`${of}\``,
  bits.toFixed(2),
  parameters.toLocaleString('en'),
  base.toFixed(3),
  before.toFixed(3),
  after.toFixed(3),
  merged.toFixed(3),
  String(undone),
  mib(planned),
  resident === 0 ? '–' : mib(resident),
];

const head = [
  'method',
  'base',
  'bits',
  'trained',
  'loss of the base',
  'before',
  'after',
  'merged',
  'layers undone',
  'planned MiB',
  'resident MiB',
];

/** The distance at 2 bits of a start by what quantisation lost from a plain one. */
const verdictOf = (outcomes: readonly Outcome[], model: string): string => {
  const at = (name: string): Outcome | undefined => outcomeOf(outcomes, model, { name, base: 'nf2()' });
  const [loftq, plain] = [at('LoftQ'), at('QLoRA')];
  if (!loftq || !plain) return '';
  const gap = plain.after - loftq.after;
  return gap > 0
    ? `\nAt 2 bits LoftQ begins ${(plain.before - loftq.before).toFixed(3)} and ends ${gap.toFixed(3)} nats below plain QLoRA.\n`
    : `\nAt 2 bits LoftQ ends ${(-gap).toFixed(3)} nats above plain QLoRA: of rank ${settings.rank} it holds too little of what two bits lose to be ahead after ${settings.steps} steps.\n`;
};

const sectionOf = (outcomes: readonly Outcome[], model: string): string => {
  const own = runs.flatMap((run) => outcomeOf(outcomes, model, run) ?? []);
  const missing = runs.length - own.length;
  const { weights, learningRate } = own[0]!;
  return `## ${model}

${(weights / 1e6).toFixed(1)} million weights, rate ${learningRate}.${missing > 0 ? ` ${missing} of ${runs.length} runs are not there yet.` : ''}

${markdown([head, ...own.map(cellsOf)])}
${verdictOf(outcomes, model)}`;
};

/** The page of tuning over quantised bases. */
export const quantizedPage = (outcomes: readonly Outcome[]): string => {
  const models = [...new Set(outcomes.map(({ model }) => model))];
  const { steps, context, rank, heldOut } = settings;
  return `# Tuning over quantised bases

The same adapter on the same text over floats and over quantised bases, made by \`pnpm bench --task quantized\`, with \`--model\` for another folder than the shipped model. ${steps} steps of ${context} tokens of
Moby-Dick, rank ${rank} on all linear layers, alpha ${rank}, AdamW after a warm-up of 5 steps, then a cosine; one seed. Losses are in nats a token of held-out chapters (${heldOut * context} tokens).

- Bits are those of a weight of these layers, scales included. \`f16\` are the floats of the file, kept as they are by \`loadModel(dir, { dtype: 'f16' })\`; the others pack the same values in f32.
- *Before* is the loss with the adapter before the first step: that of the base, but for LoftQ, whose adapter begins with what quantisation lost (one round, as Hugging Face PEFT has it; \`loftqBase\` makes more).
- *Merged* is the loss once the adapter is folded into the base's own format; *layers undone* are those where storing takes half of what was learnt or more, as \`merge\` tells. QA-LoRA's changes move zero points alone and lose nothing.
- *Planned* is the peak of a training step by its plan, weights and optimiser included; *resident* the most that the process had in memory while it trained (\`VmHWM\`), with Node and ONNX Runtime; – where it was taken while
  executors still held the model before quantisation, of which LoftQ's first values are made.

${models.map((model) => sectionOf(outcomes, model)).join('\n')}`;
};
