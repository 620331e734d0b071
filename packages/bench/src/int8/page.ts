import { markdown } from '../report/markdown.ts';
import type { Gradients, Outcome } from './results.ts';
import { forms, seeds, settings, torchForm } from './runs.ts';

const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;

const signed = (x: number): string => `${x < 0 ? '−' : '+'}${Math.abs(x).toFixed(4)}`;

/** The least cosine of a gradient with that in f32 that is aimed at. */
const aim = 0.99;

const head = [
  'base',
  'seeds',
  'before',
  'after',
  'after, less that in f32',
  'largest of a seed',
  'cosine of the gradient',
];

/** The form of floats that a form is held against, seed by seed: what it loses, in nats a token. */
const lost = (own: readonly Outcome[], all: readonly Outcome[], against: string | null): readonly number[] =>
  own.flatMap(({ seed, after }) => {
    const plain = all.find((line) => line.form === against && line.seed === seed);
    return plain ? [after - plain.after] : [];
  });

const sectionOf = (model: string, outcomes: readonly Outcome[], gradients: readonly Gradients[]): string => {
  const all = outcomes.filter((line) => line.model === model);
  const cosines = gradients.find((line) => line.model === model)?.cosines ?? {};
  const cells = forms.flatMap(({ name, against }) => {
    const own = all.filter(({ form }) => form === name);
    const cosine = cosines[name];
    if (own.length === 0 && cosine === undefined) return [];
    const apart = lost(own, all, against);
    return [
      [
        `\`${name}\``,
        String(own.length),
        own.length > 0 ? mean(own.map(({ before }) => before)).toFixed(4) : '',
        own.length > 0 ? mean(own.map(({ after }) => after)).toFixed(4) : '',
        apart.length > 0 ? signed(mean(apart)) : '',
        apart.length > 0 ? signed(apart.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a))) : '',
        cosine === undefined ? '' : cosine.toFixed(4),
      ],
    ];
  });
  const torch = cosines[torchForm];
  const far = forms.flatMap(({ name }) => ((cosines[name] ?? 1) < aim ? [`\`${name}\``] : []));
  const missing = forms.length * seeds.length - all.length;
  return `### ${model}

${missing > 0 ? `${missing} of ${forms.length * seeds.length} runs are not there yet.\n\n` : ''}${markdown([head, ...cells])}
${torch === undefined ? '' : `\nPyTorch's gradient in bfloat16 has a cosine of ${torch.toFixed(4)} with its own in f32.\n`}${far.length === 0 ? '' : `\nThe aim of ${aim} is missed by ${far.join(', ')}.\n`}`;
};

/** The section of products in int8; nothing where no run is there. */
export const int8Section = (outcomes: readonly Outcome[], gradients: readonly Gradients[]): string => {
  const models = [...new Set([...gradients, ...outcomes].map(({ model }) => model))];
  if (models.length === 0) return '';
  const { steps, context, rank, heldOut, measured } = settings;
  return `
## Products in int8

LoRA over bases whose products are in f32, and over the same that multiply whole numbers, made by \`pnpm bench --task int8-quality\`, with \`--model\` for another folder than the shipped model: ${steps} steps of ${context} tokens,
rank ${rank} on all linear layers, otherwise as above; means of ${seeds.length} seeds. Losses are those of ${heldOut} held-out rows. The gradient is that of the untrained adapter on ${measured} rows, compared with the one
over the base that it is held against: floats, or the same NF4 multiplied in f32. Where \`quantizeByLlmInt8\` makes NF4, the columns that stand out are floats, which plain NF4 rounds: what lies between these two is not of products alone.

${models.map((model) => sectionOf(model, outcomes, gradients)).join('\n')}`;
};
