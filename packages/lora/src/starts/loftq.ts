import {
  type Chosen,
  defineMethod,
  eachLinear,
  familyTarget,
  type MethodFactory,
  type Option,
  targets,
} from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Linear, Model, Path } from '@peftjs/transformer';
import { addDelta } from '../add-delta.ts';
import { lora } from '../lora.ts';
import { type LoraOptions, loraOptions, lowRank, rankAndScaleOf } from '../low-rank.ts';
import { refusedInLora } from '../peft-config.ts';
import { variantConfig } from '../variant-files.ts';
import { startOf } from '../variant-of.ts';
import { requireRank } from './begun-with.ts';
import { halves } from './halves.ts';
import type { Weighing } from './weighing.ts';

/** Options of `loftq`. */
export interface LoftqOptions extends LoraOptions {
  /** The model before it was quantised, whose weights the base and the adapter stand for together. */
  readonly before: Model;
  /** How rows and columns of layers count, as `loftqBase` found it by data. Default: all alike. */
  readonly weighings?: ReadonlyMap<Path, Weighing>;
}

const before: Option<Model> = {
  key: null,
  // Files don't hold it; without it no layer finds its own.
  fallback: () => ({ linears: new Map() }) as unknown as Model,
  expected: 'a model',
  accepts: (v) => typeof v === 'object' && v !== null && 'linears' in v,
};

const weighings: Option<ReadonlyMap<Path, Weighing>> = {
  key: null,
  fallback: () => new Map(),
  expected: 'the weighings of loftqBase',
  accepts: (v) => v instanceof Map,
};

/** The layer that was quantised. Throws `bad-option` where there is none of its sizes. */
const layerBefore = ({ linears }: Model, path: Path, { inDim, outDim }: Linear): Linear => {
  const layer = linears.get(path);
  if (layer?.inDim === inDim && layer.outDim === outDim) return layer;
  const got = layer ? `is ${layer.outDim} × ${layer.inDim}` : 'is not there';
  throw new PeftError(
    'bad-option',
    `loftq: ${path} of ${outDim} × ${inDim} ${got} in \`before\`; give the model that the base was quantised of`,
  );
};

/**
 * LoftQ: y = Qx + (alpha/r)·B·A·dropout(x) over a quantised base Q, where B and A begin as the r largest singular values of what quantisation lost, s·B·A ≈ W − Q, split in like halves, so that the
 * model begins closer to the one before than Q alone. It is that of one round, over any format; `loftqBase` makes the Q of more. The host decomposes in f64 when first values are needed. Saved as an ordinary LoRA, which
 * is right over the same Q. Merges. Throws as `lora`, and `bad-option` for ranks above a weight's and for another `before`.
 * Li, Yu, Liang, He, Karampatziakis, Chen & Zhao, 2023. https://arxiv.org/abs/2310.08659. Hugging Face PEFT's `replace_lora_weights_loftq` does so, with a scale of 1.
 */
export const loftq: MethodFactory<LoftqOptions> = defineMethod<LoftqOptions>({
  name: 'loftq',
  formula: {
    merges: true,
    options: { ...loraOptions, target: targets('target_modules', familyTarget('lora')), before, weighings },
    compact: async (model, options, state) => ({
      method: lora.fromConfig({ ...loftq(options as Chosen<LoftqOptions>).config(model), init_lora_weights: true }),
      state,
    }),
    attach: (model, scope, options) =>
      eachLinear(model, scope, options.target, 'loftq', (base, own, path) => {
        const { rank, scale } = rankAndScaleOf(path, options);
        requireRank('loftq', path, base, rank);
        const whole = layerBefore(options.before, path, base);
        const first = halves(async (compute) => {
          const { lostOf } = await import('../algebra/principal.ts'); // with ml-matrix, which few need
          return lostOf(whole, base, { rank, scale, weighing: options.weighings.get(path) }, compute);
        });
        return addDelta(base, lowRank(base, own, path, options, { a: first('a'), b: first('b') }));
      }),
  },
  files: {
    peftType: 'LORA',
    // What is saved is an ordinary LoRA; Hugging Face PEFT's own files are told how to become one.
    reads: (config) => startOf(config) === 'loftq',
    refuses: (config) => refusedInLora(config),
    config: (model) => ({ ...variantConfig(model, {} as never), init_lora_weights: 'loftq' }),
  },
  card: {
    about: 'low-rank updates that begin with what quantisation lost',
    paper: {
      authors: 'Li et al.',
      year: 2023,
      title: 'LoftQ: LoRA-Fine-Tuning-Aware Quantization for Large Language Models',
      url: 'https://arxiv.org/abs/2310.08659',
    },
    learningRate: 1e-4,
  },
});
