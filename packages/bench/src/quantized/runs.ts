import type { GradientTransform, Method } from '@peftjs/core';
import { type LoraOptions, loftq, lora, qalora } from '@peftjs/lora';
import { int4, nf2, nf4, type QuantFormat, quantize } from '@peftjs/quant';
import { adamw, adamw8bit } from '@peftjs/trainer';
import type { CausalLM, WeightDType } from '@peftjs/transformer';

/** How every run trains: tokens of a row, one row a step. */
export const settings = {
  steps: 100,
  context: 64,
  rank: 32,
  /** Held-out rows of `context` tokens. */
  heldOut: 24,
  seed: 0,
} as const;

/** A model to train, and what is trained on it. */
export interface Ready {
  readonly base: CausalLM;
  readonly method: Method;
}

/** One row of the table. */
export interface QuantizedRun {
  readonly name: string;
  /** The base, as code makes it. */
  readonly base: string;
  readonly optimizer: GradientTransform;
  /** How the file's matrices are kept. Default `f32`. */
  readonly dtype?: WeightDType;
  make(model: CausalLM): Ready;
}

const { rank } = settings;
const options: LoraOptions = { rank, alpha: rank, target: 'all-linear' };
/** Inputs of a group in QA-LoRA's base; they divide the widths of the model. */
const group = 32;

const qlora =
  (format: QuantFormat): QuantizedRun['make'] =>
  (model) => ({ base: quantize(model, format), method: lora(options) });

/** LoftQ of one round, as Hugging Face PEFT has it: the base is that of QLoRA. */
const loftqOver =
  (format: QuantFormat): QuantizedRun['make'] =>
  (model) => ({ base: quantize(model, format), method: loftq({ ...options, before: model }) });

/** The runs, each on the same text from the same seed. */
export const runs: readonly QuantizedRun[] = [
  {
    name: 'LoRA',
    base: 'f16',
    dtype: 'f16',
    optimizer: adamw(),
    make: (model) => ({ base: model, method: lora(options) }),
  },
  { name: 'QLoRA', base: 'nf4()', optimizer: adamw(), make: qlora(nf4()) },
  { name: 'QLoRA', base: 'nf2()', optimizer: adamw(), make: qlora(nf2()) },
  { name: 'LoftQ', base: 'nf2()', optimizer: adamw(), make: loftqOver(nf2()) },
  {
    name: 'QA-LoRA',
    base: `int4({ zeroPoints: 'real', blockSize: ${group} })`,
    optimizer: adamw(),
    make: (model) => ({
      base: quantize(model, int4({ zeroPoints: 'real', blockSize: group })),
      method: qalora({ ...options, groupSize: group }),
    }),
  },
  { name: 'LoftQ', base: 'nf4()', optimizer: adamw(), make: loftqOver(nf4()) },
  { name: 'QLoRA, `adamw8bit()`', base: 'nf4()', optimizer: adamw8bit(), make: qlora(nf4()) },
];
