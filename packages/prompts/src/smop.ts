import { count, defineMethod, type HostInit, type MethodFactory, number, type Option, type Scope } from '@peftjs/core';
import {
  add,
  argmax,
  cast,
  constant,
  cos,
  equal,
  gather,
  log,
  matmul,
  mul,
  normalValues,
  reshape,
  softmax,
  sqrt,
  stopGradient,
  type Tensor,
} from '@peftjs/tensor';
import { rowsName } from './encoder.ts';
import { meanOfTokens } from './over-tokens.ts';
import { promptTuning } from './prompt-tuning.ts';
import { rowsInFront } from './soft-prompt.ts';
import { initOf, type RowInit, rowInit } from './vocabulary.ts';

/** Options of `smop`. */
export interface SmopOptions {
  /** Virtual tokens m of each prompt. Default 5. */
  readonly length?: number;
  /** Prompts k. Default 4. */
  readonly prompts?: number;
  /** First values of the rows of all prompts, as in `promptTuning`. Default `vocabulary`. */
  readonly init?: RowInit;
  /** Standard deviation of the noise on the router's logits while training, as a share of each. Default 1. */
  readonly noise?: number;
}

const noiseOption: Option<number> = {
  ...number('router_noise', 1),
  expected: 'a number of at least 0',
  accepts: (v) => Number.isFinite(v) && (v as number) >= 0,
};

/** Rows at right angles to each other, of length 1: of normal values, by Gram and Schmidt; as many as there are columns. */
const orthogonalRows: HostInit = (shape, random) => {
  const [rows, columns] = shape as readonly [number, number];
  const made: Float32Array[] = [];
  for (let i = 0; i < rows; i++) {
    const v = normalValues(columns, 1, random);
    for (const u of made.slice(Math.floor(i / columns) * columns)) {
      const dot = u.reduce((n, x, j) => n + x * v[j]!, 0);
      u.forEach((x, j) => {
        v[j]! -= dot * x;
      });
    }
    const norm = Math.hypot(...v);
    made.push(v.map((x) => x / norm));
  }
  return Float32Array.from(made.flatMap((row) => [...row]));
};

/** z·(1 + σ·n), n from N(0, 1), drawn in every training pass. */
const noisy = (z: Tensor, sigma: number, { draw }: Scope): Tensor => {
  if (!draw || sigma === 0) return z;
  const radius = sqrt(mul(log(add(mul(draw(z.shape), 1 - 1e-7), 1e-7)), -2));
  const normal = mul(radius, cos(mul(draw(z.shape), 2 * Math.PI)));
  return add(z, mul(mul(normal, sigma), stopGradient(z)));
};

/** Each row of x [batch, k] with all but its largest value 0. */
const largest = (x: Tensor): Tensor => {
  const [batch, k] = x.shape as readonly [number, number];
  const order = constant(
    Int32Array.from({ length: k }, (_, i) => i),
    [1, k],
  );
  return mul(x, cast(equal(reshape(argmax(x, { axis: 1 }), [batch, 1]), order), { dtype: 'f32' }));
};

/**
 * SMoP, a sparse mixture of prompts: [g·P_i; E(x)] where of k prompts P_i [m, d] the one with the largest g = softmax(R·x̄)_i goes before the embedded tokens, x̄ the mean of those; R [k, d] is trained, with
 * rows at right angles at the start. While training the logits R·x̄ are moved at random by a share of themselves, so that prompts share the load. Generation keeps the prompt that the text it continues has chosen.
 * Files have a layout of our own. Does not merge. Throws `bad-option`, also when attached.
 * Choi, Kim, Kim & Lee, 2023. https://aclanthology.org/2023.emnlp-main.884 By the authors' code, https://github.com/jyjohnchoi/SMoP, peft_models/tuners/prompt_routing.py.
 */
export const smop: MethodFactory<SmopOptions> = defineMethod<SmopOptions>({
  name: 'smop',
  formula: {
    merges: false,
    options: {
      length: count('num_virtual_tokens', 5),
      prompts: count('num_prompts', 4),
      init: rowInit,
      noise: noiseOption,
    },
    attach: (model, scope, { length, prompts, init, noise }) =>
      rowsInFront(model, { length }, ({ dim, weight }) => {
        const all = length * prompts;
        const first = initOf(init, model, all, (ids) => gather(weight, constant(ids, [all])));
        const rows = scope.param(rowsName, [all, dim], first);
        const router = scope.param('router.weight', [prompts, dim], orthogonalRows);
        return (x, call) => {
          const logits = reshape(matmul(meanOfTokens(x, call), router, { transposeB: true }), [-1, prompts]);
          const shares = largest(softmax(noisy(logits, noise, scope)));
          return reshape(matmul(shares, reshape(rows, [prompts, -1])), [-1, length, dim]);
        };
      }),
  },
  files: { peftType: 'PEFTJS_SMOP' },
  card: {
    about: 'short prompts, of which a router chooses one for each text',
    paper: {
      authors: 'Choi et al.',
      year: 2023,
      title: 'SMoP: Towards Efficient and Effective Prompt Tuning with Sparse Mixture-of-Prompts',
      url: 'https://aclanthology.org/2023.emnlp-main.884',
    },
    learningRate: promptTuning.learningRate,
    narrowRate: 1e-2,
  },
});
