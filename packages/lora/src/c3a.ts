import {
  type BiasChoice,
  biases,
  byPattern,
  count,
  defineMethod,
  eachLinear,
  type HostInit,
  type JsonValue,
  type MethodFactory,
  normal,
  type Option,
  patternValue,
  type Target,
  targets,
  uniform,
  zeros,
} from '@peftjs/core';
import { add, constant, gather, mul, PeftError, reshape, type Tensor, transpose } from '@peftjs/tensor';
import { type Linear, viaDense } from '@peftjs/transformer';
import { spectralTarget } from './peft-config.ts';

/** First values of the kernels: U(−√(6/(in + out)), √(6/(in + out))), U(−1/√in, 1/√in), N(0, 1), or none, so that the model begins as it was. */
export type C3aInit = 'xavier_uniform' | 'kaiming_uniform' | 'gaussian' | 'zeros';

/** Options of `c3a`. */
export interface C3aOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Side b of a block, which divides inputs and outputs. Default 256. */
  readonly blockSize?: number;
  /** Default `xavier_uniform`. */
  readonly init?: C3aInit;
  /** Other sides, by a regular expression of the path or its end after a dot; the first that fits counts. */
  readonly blockSizePattern?: Readonly<Record<string, number>>;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

const inits: readonly unknown[] = ['xavier_uniform', 'kaiming_uniform', 'gaussian', 'zeros'];

/** In files `true` stands for zeros and `false` for the default. */
const initOption: Option<C3aInit> = {
  key: 'init_weights',
  fallback: () => 'xavier_uniform',
  expected: `one of ${inits.join(', ')}`,
  accepts: (v) => inits.includes(v),
  toJson: (init) => (init === 'zeros' ? true : init),
  fromJson: (value: JsonValue) => (value === true ? 'zeros' : value === false ? 'xavier_uniform' : value),
};

const firstValues = (init: C3aInit, { inDim, outDim }: Linear): HostInit => {
  const values = {
    xavier_uniform: uniform(Math.sqrt(6 / (inDim + outDim))),
    kaiming_uniform: uniform(1 / Math.sqrt(inDim)),
    gaussian: normal(1),
    zeros,
  };
  return values[init] as HostInit;
};

/** Kernels [out/b, in/b, b] as a matrix [out, in] of circulant blocks: row k of a block is its kernel shifted by k places. */
const circulant = (kernel: Tensor): Tensor => {
  const [down, across, b] = kernel.shape as readonly [number, number, number];
  const places = Int32Array.from({ length: b * b }, (_, i) => ((i % b) - Math.floor(i / b) + b) % b);
  const byPlace = transpose(reshape(kernel, [down * across, b])); // [b, blocks]
  const entries = reshape(gather(byPlace, constant(places, [b * b])), [b, b, down, across]);
  return reshape(transpose(entries, [2, 0, 3, 1]), [down * b, across * b]);
};

/**
 * C3A: y = (W + C/in)·x + b with C of circulant blocks [b, b], each made of one kernel of b values, so that its rank may be full: C·x is a circular correlation,
 * block by block. Kernels are [out/b, in/b, b]; they don't begin at zero unless `init` is `zeros`. W′ is formed in each step. Merges. Throws `bad-option`,
 * also when attached to a layer that b does not divide, and then `no-match`.
 * Chen, Cheng, Liu, Gao, Tsung, Li & Li, 2024. https://arxiv.org/abs/2407.19342
 */
export const c3a: MethodFactory<C3aOptions> = defineMethod<C3aOptions>({
  name: 'c3a',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', spectralTarget),
      blockSize: count('block_size', 256),
      init: initOption,
      blockSizePattern: byPattern('block_size_pattern', count, 'sizes of at least 1', 'blockSize'),
      bias: biases('c3a'),
    },
    attach: (model, scope, { target, blockSize, init, blockSizePattern }) =>
      eachLinear(model, scope, target, 'c3a', (base, own, path) => {
        const { inDim, outDim } = base;
        const b = patternValue(blockSizePattern, path) ?? blockSize;
        if (inDim % b !== 0 || outDim % b !== 0)
          throw new PeftError(
            'bad-option',
            `c3a: ${path}: blockSize ${b} does not divide ${outDim} × ${inDim}; give one that does`,
          );
        const kernel = own.param('c3a_kernel', [outDim / b, inDim / b, b], firstValues(init, base));
        return viaDense(base, ({ weight, bias }) => ({
          weight: add(weight, mul(circulant(kernel), 1 / inDim)),
          bias,
        }));
      }),
  },
  files: { peftType: 'C3A' },
  card: {
    about: 'an update of circulant blocks',
    paper: {
      authors: 'Chen et al.',
      year: 2024,
      title: 'Parameter-Efficient Fine-Tuning via Circular Convolution',
      url: 'https://arxiv.org/abs/2407.19342',
    },
    learningRate: 3e-1,
    narrowRate: 1,
  },
});
