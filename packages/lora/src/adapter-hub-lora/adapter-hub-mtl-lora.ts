import {
  count,
  defineMethod,
  kaimingUniform,
  type MethodFactory,
  number,
  ones,
  positive,
  rate,
  zeros,
} from '@peftjs/core';
import { add, matmul, mul, PeftError, reshape, softmax, type Tensor } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';
import { computes, configOf } from './adapter-hub-lora.ts';
import { type AdapterHubLoraOptions, placeOptions, placesOf } from './projections.ts';

/** Options of `adapterHubMtlLora`. */
export interface AdapterHubMtlLoraOptions extends Omit<AdapterHubLoraOptions, 'dora'> {
  /** Matrices B. Default 1. */
  readonly ups?: number;
  /** Temperature τ of their shares. Default 0.05. */
  readonly sharpness?: number;
}

/**
 * MTL-LoRA as the adapters library has it, where each task is an adapter of its own: y = Wx + (alpha/r)·Σᵢ ωᵢ·Bᵢ·Λ·A·dropout(x), ω = softmax(w/τ), on an attention's queries and values. A [rank, in], B [ups, out, rank] and zero at the start,
 * Λ, a diagonal, and w ones. Tasks that the library let share A and B have them each in its file. Files are that library's; `mtlLora` is the method for several tasks in one adapter. Merges. Throws `bad-option`, also where one layer holds several projections, for which
 * the library has none.
 * Yang et al., 2024. https://arxiv.org/abs/2410.09437
 */
export const adapterHubMtlLora: MethodFactory<AdapterHubMtlLoraOptions> = defineMethod<AdapterHubMtlLoraOptions>({
  name: 'adapterHubMtlLora',
  formula: {
    merges: true,
    options: {
      ...placeOptions,
      rank: count('r', 8),
      alpha: number('alpha', 8),
      dropout: rate('dropout', 0),
      ups: count('n_up_projection', 1),
      sharpness: positive('weights_sharpness', 0.05),
    },
    attach: (model, scope, options) => {
      const { rank, alpha, dropout, ups, sharpness } = options;
      const adapted = (base: Linear, path: string): Linear => {
        const own = scope.at(`${path}.loras.default`);
        const a = own.param('lora_A', [rank, base.inDim], kaimingUniform);
        const b = own.param('lora_B', [ups, base.outDim, rank], zeros);
        const values = own.param('task_specific.values', [rank], ones);
        const shares = softmax(mul(own.param('weights', [ups], ones), 1 / sharpness));
        /** Σᵢ ωᵢ·Bᵢ: [out, rank] */
        const up = (): Tensor => reshape(matmul(reshape(shares, [1, ups]), reshape(b, [ups, -1])), [base.outDim, rank]);
        return {
          ...base,
          apply: (x, call) => {
            const low = mul(matmul(own.dropout(x, dropout), a, { transposeB: true }), values);
            return add(base.apply(x, call), mul(matmul(low, up(), { transposeB: true }), alpha / rank));
          },
          dense: () => {
            const { weight, bias } = base.dense();
            return { weight: add(weight, mul(matmul(mul(up(), values), a), alpha / rank)), bias };
          },
        };
      };
      const places = placesOf(model, options);
      const joined = places.filter(({ path, outDim }) => model.linears.get(path)!.outDim !== outDim);
      if (joined.length > 0)
        throw new PeftError(
          'bad-option',
          `adapterHubMtlLora: ${joined[0]!.path} holds several projections, for which the adapters library has none; use mtlLora`,
        );
      return { linear: new Map(places.map(({ path }) => [path, (base) => adapted(base, path)])) };
    },
  },
  files: {
    peftType: 'PEFTJS_ADAPTER_HUB_MTL_LORA',
    layout: 'adapter-hub',
    reads: (config) => config['architecture'] === 'mtl_lora',
    // The library's other kind of Λ, a whole matrix, cannot be made there.
    computes: {
      ...computes,
      task_specific_matrix_type: ['singular_values'],
      composition_mode: ['add'],
      use_gating: [false],
      use_dora: [false],
      vera_d: [],
      vera_b: [],
    },
    config: () => ({ ...configOf('mtl_lora', false), task_specific_matrix_type: 'singular_values', use_dora: false }),
  },
  card: {
    about: 'low-rank updates of queries and values, whose matrices B are mixed',
    paper: {
      authors: 'Yang et al.',
      year: 2024,
      title: 'MTL-LoRA: Low-Rank Adaptation for Multi-Task Learning',
      url: 'https://arxiv.org/abs/2410.09437',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
