import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  kaimingUniform,
  type MethodFactory,
  oneOf,
  type Scope,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { add, matmul, mul, reshape, type Shape, type Tensor } from '@peftjs/tensor';
import { viaDense } from '@peftjs/transformer';

/** The form of a support tensor: a product of low rank, one value by output (or by input, of `coupling`), one value, or none. */
export type GloraForm = 'lora' | 'vector' | 'constant' | 'none';

/** Options of `glora`. */
export interface GloraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the products. Default 8. */
  readonly rank?: number;
  /** Form of A and B, which scale and shift the weight. Default `lora`. */
  readonly weight?: GloraForm;
  /** Form of C, by which the weight moves the bias. Default `lora`. */
  readonly coupling?: Exclude<GloraForm, 'constant'>;
  /** Form of D and E, which scale and shift the bias. Default `constant`. */
  readonly shift?: Exclude<GloraForm, 'lora'>;
}

/** A support tensor that broadcasts to `shape`; null for one that is none. Files hold the zeros of those. */
const support = (own: Scope, name: string, form: GloraForm, shape: Shape, rank: number): Tensor | null => {
  const [rows, columns] = shape as readonly [number, number];
  if (form === 'none') {
    own.buffer(`${name}.zeros`, shape, zeros);
    return null;
  }
  if (form === 'constant') return own.param(`${name}.X`, [1], zeros);
  if (form === 'vector') return own.param(`${name}.X`, columns === undefined ? [rows] : [rows, 1], zeros);
  return matmul(own.param(`${name}.Xd`, [rows, rank], zeros), own.param(`${name}.Xu`, [rank, columns], kaimingUniform));
};

/** x + x∘a + b, where there are. */
const moved = (x: Tensor, a: Tensor | null, b: Tensor | null): Tensor => {
  const scaled = a ? mul(x, add(a, 1)) : x;
  return b ? add(scaled, b) : scaled;
};

/**
 * GLoRA: y = (W + W∘A + B)·x + b + b∘D + E + W·C. A and B are [out, in], C is [in, 1], D and E are [out], each of its own form: Xd·Xu of `rank`, one value by row, one
 * value, or none; C, D and E are none where the layer has no bias. Xu is from U(−1/√n, 1/√n) with n its last axis, all else zero at the start. W′ is formed in each step. Merges. Throws
 * `bad-option`, and when attached `no-match`.
 * Chavan et al., 2023. https://arxiv.org/abs/2306.07967
 */
export const glora: MethodFactory<GloraOptions> = defineMethod<GloraOptions>({
  name: 'glora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      weight: oneOf('config_A_B', ['lora', 'vector', 'constant', 'none'], 'lora'),
      coupling: oneOf('config_C', ['lora', 'vector', 'none'], 'lora'),
      shift: oneOf('config_D_E', ['vector', 'constant', 'none'], 'constant'),
    },
    attach: (model, scope, { target, rank, weight: form, coupling, shift }) =>
      eachLinear(model, scope, target, 'glora', (base, own) => {
        const { inDim, outDim } = base;
        const hasBias = base.dense().bias !== null;
        const make = (name: string, kind: GloraForm, shape: Shape): Tensor | null =>
          support(own, `glora_${name}`, kind, shape, rank);
        const [a, b] = [make('A', form, [outDim, inDim]), make('B', form, [outDim, inDim])];
        const c = make('C', hasBias ? coupling : 'none', [inDim, 1]);
        const [d, e] = [make('D', hasBias ? shift : 'none', [outDim]), make('E', hasBias ? shift : 'none', [outDim])];
        return viaDense(base, ({ weight, bias }) => {
          const own = bias && moved(bias, d, e);
          return {
            weight: moved(weight, a, b),
            bias: own && c ? add(own, reshape(matmul(weight, c), [outDim])) : own,
          };
        });
      }),
  },
  files: {
    peftType: 'GLORA',
    // A trained bias would be what D and E change.
    computes: { bias: ['none'] },
    config: () => ({ bias: 'none', init_weights: true }),
  },
  card: {
    about: 'weights and biases scaled and shifted',
    paper: {
      authors: 'Chavan et al.',
      year: 2023,
      title: 'One-for-All: Generalized LoRA for Parameter-Efficient Fine-tuning',
      url: 'https://arxiv.org/abs/2306.07967',
    },
    learningRate: 1e-4,
    narrowRate: 1e-2,
  },
});
