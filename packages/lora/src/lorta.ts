import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  kaimingUniform,
  type MethodFactory,
  number,
  rate,
  type Target,
  targeted,
  targets,
  zeros,
} from '@peftjs/core';
import { concat, matmul, mul, PeftError, reshape, slice, type Tensor, transpose } from '@peftjs/tensor';
import type { Model, Part, Path } from '@peftjs/transformer';
import { addDelta } from './add-delta.ts';

/** Options of `lorta`. */
export interface LortaOptions {
  /** Layers of attention alone. Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the tensor. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 8. */
  readonly alpha?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** The matrices of an attention, in the order of the factor that they have a row of. */
const roles = ['query', 'key', 'value', 'attn-out'] as const;

/** The sizes that all adapted layers share. */
interface Sizes {
  /** Width d of the rows that attention reads and gives. */
  readonly width: number;
  readonly headDim: number;
  readonly heads: number;
  /** Paths of the attentions, each with a row of its own. */
  readonly attentions: readonly Path[];
  readonly partsOf: ReadonlyMap<Path, readonly Part[]>;
}

const refused = (path: Path, why: string): PeftError => new PeftError('bad-option', `lorta: ${path}: ${why}`);

const sizesOf = (model: Model, paths: readonly Path[]): Sizes => {
  const parts = model.parts(roles);
  const { headDim } = model.towers[0];
  const partsOf = new Map(paths.map((path) => [path, parts.filter((part) => part.path === path)]));
  const widths = new Map<number, Path>();
  let heads = 0;
  for (const [path, own] of partsOf) {
    const { inDim, outDim } = model.linears.get(path)!;
    const isOut = own[0]?.role === 'attn-out';
    const rows = isOut ? inDim : outDim;
    if (own.length === 0 || own.reduce((n, { size }) => n + size, 0) !== outDim)
      throw refused(path, 'is no layer of queries, keys, values or the output of an attention; leave it out of target');
    if ((isOut ? [rows] : own.map(({ size }) => size)).some((size) => size % headDim !== 0))
      throw refused(path, `its heads are not ${headDim} wide, as those of other towers are; leave it out of target`);
    heads = Math.max(heads, ...(isOut ? [rows] : own.map(({ size }) => size)).map((size) => size / headDim));
    widths.set(isOut ? outDim : inDim, path);
  }
  const [first, other] = [...widths];
  if (other)
    throw refused(other[1], `reads or gives ${other[0]} values, ${first![1]} ${first![0]}; one tensor needs one width`);
  return { width: first![0], headDim, heads, attentions: [...model.paths('attn'), ...model.paths('cross')], partsOf };
};

/**
 * LoRTA: y = Wx + (alpha/r)·ΔW·dropout(x), where the updates of all attentions' matrices are one tensor of rank r: ΔW[h·w + j, i] = Σₖ A[i, k]·B[k, j]·H[h, k]·L[l, k]·M[m, k] for input i, entry j of head h,
 * w the width of heads, attention l and matrix m of query, key, value and output; the output's matrix is transposed, its heads are inputs. A [d, r], H [heads, r], L [attentions, r] and M [4, r] are from U(−1/√r, 1/√r), B [r, w] is zero at the start. Fewer
 * heads of keys and values have the first rows of H. Nothing of shape [out, in] is formed. Merges. Throws `bad-option`, also when attached to another layer than attention's, and then `no-match`.
 * Hounie, Kanatsoulis, Tandon & Ribeiro, 2024. https://arxiv.org/abs/2410.04060. As in the authors' fork of Hugging Face PEFT, but that every attention of a model that has two in a layer has a row of L.
 */
export const lorta: MethodFactory<LortaOptions> = defineMethod<LortaOptions>({
  name: 'lorta',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      alpha: number('lora_alpha', 8),
      dropout: rate('lora_dropout', 0),
      bias: biases('lorta'),
    },
    attach: (model, scope, { target, rank, alpha, dropout }) => {
      const paths = targeted(model.linears.keys(), target, 'lorta');
      const { width, headDim, heads, attentions, partsOf } = sizesOf(model, paths);
      const a = scope.param('lora_A', [width, rank], kaimingUniform);
      const b = scope.param('lora_B', [rank, headDim], zeros);
      const byHead = scope.param('lora_C_h', [heads, rank], kaimingUniform);
      const byAttention = scope.param('lora_C_l', [attentions.length, rank], kaimingUniform);
      const byMatrix = scope.param('lora_C_m', [roles.length, rank], kaimingUniform);
      const row = (t: Tensor, at: number): Tensor => slice(t, { axis: 0, start: at, end: at + 1 }); // [1, r]
      /** [size, r] of the heads of one matrix. */
      const headRows = (size: number, matrix: Part['role'], attention: number): Tensor => {
        const own = size / headDim;
        const weights = mul(
          row(byAttention, attention),
          row(byMatrix, roles.indexOf(matrix as (typeof roles)[number])),
        );
        const scaled = mul(slice(byHead, { axis: 0, start: 0, end: own }), mul(weights, alpha / rank));
        return reshape(mul(reshape(scaled, [own, 1, rank]), transpose(b)), [size, rank]);
      };
      return eachLinear(model, scope, target, 'lorta', (base, own, path) => {
        const parts = partsOf.get(path)!;
        const attention = attentions.findIndex((at) => path.startsWith(`${at}.`));
        const isOut = parts[0]!.role === 'attn-out';
        /** Of the inputs [in, r] and of the outputs [out, r]. */
        const factors = (): readonly [inner: Tensor, outer: Tensor] => {
          if (isOut) return [headRows(base.inDim, 'attn-out', attention), a];
          const rows = parts.map(({ size, role }) => headRows(size, role, attention));
          return [a, rows.reduce((above, below) => concat(above, below, { axis: 0 }))];
        };
        return addDelta(base, {
          apply: (x) => {
            const [inner, outer] = factors();
            return matmul(matmul(own.dropout(x, dropout), inner), outer, { transposeB: true });
          },
          dense: () => {
            const [inner, outer] = factors();
            return matmul(outer, inner, { transposeB: true });
          },
        });
      });
    },
  },
  files: { peftType: 'PEFTJS_LORTA' },
  card: {
    about: "one low-rank tensor for all attentions' matrices",
    paper: {
      authors: 'Hounie, Kanatsoulis, Tandon & Ribeiro',
      year: 2024,
      title: 'LoRTA: Low Rank Tensor Adaptation of Large Language Models',
      url: 'https://arxiv.org/abs/2410.04060',
    },
    learningRate: 5e-3,
    narrowRate: 3.2e-2,
  },
});
