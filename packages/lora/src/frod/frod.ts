import {
  type BiasChoice,
  biases,
  defineMethod,
  eachLinear,
  familyTarget,
  type MethodFactory,
  type Option,
  positive,
  rate,
  type Scope,
  type Target,
  targeted,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import {
  add,
  constant,
  matmul,
  mul,
  PeftError,
  reshape,
  scatterAdd,
  slice,
  sparseMatmul,
  sub,
  type Tensor,
  type Variable,
} from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { addDelta } from '../add-delta.ts';
import { onceComputed } from '../once-computed.ts';
import { fanInFanOut } from '../peft-config.ts';
import { torchPermutation } from '../torch-random.ts';
import { byCategory, categoryOf } from './category.ts';

/** Options of `frod`. */
export interface FrodOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Share of the entries of S beside its diagonal that are trained, in (0, 1]. Default 0.01. */
  readonly share?: number;
  /** Of torch's generator, which draws their places as Hugging Face PEFT does. Default 0. */
  readonly seed?: number;
  /** Ridge that keeps the inverses stable of which the basis is made. Default 1e-3. */
  readonly ridge?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

const shareOption: Option<number> = {
  key: 'sparse_rate',
  fallback: () => 0.01,
  expected: 'in (0, 1]',
  accepts: (v) => typeof v === 'number' && v > 0 && v <= 1,
};

/** The parts that layers of one role have in common. */
interface Shared {
  /** [in, in] */
  readonly basis: Variable;
  /** Places of the trained entries of S, row · in + column: [entries]. */
  readonly places: Tensor;
}

/** Of a file nothing is taken on trust: places must lie beside the diagonal, and no two be the same. */
const checkPlaces = (category: string, index: Variable, width: number): void => {
  const { init } = index.node;
  if (!ArrayBuffer.isView(init)) return;
  const [values, entries] = [Array.from(init as Int32Array, Number), index.shape[1]!];
  const fits = (at: number): boolean => at >= 0 && at < width;
  const seen = new Set<number>();
  for (let i = 0; i < entries; i++) {
    const [row, column] = [values[i]!, values[entries + i]!];
    if (fits(row) && fits(column) && row !== column) seen.add(row * width + column);
  }
  if (seen.size !== entries)
    throw new PeftError(
      'state-mismatch',
      `frod: frod_s_indices.${category} must hold ${entries} different places beside the diagonal of a matrix of ${width} × ${width}, rows and then columns; ${entries - seen.size} are not`,
    );
};

/** Numbers of the entries of a matrix beside its diagonal, as its row and its column. */
const beside = (number: number, width: number): readonly [row: number, column: number] => {
  const row = Math.floor(number / (width - 1));
  const column = number % (width - 1);
  return [row, column < row ? column : column + 1];
};

const sharedOf = (
  model: Model,
  scope: Scope,
  paths: readonly Path[],
  { share, seed, ridge }: { readonly share: number; readonly seed: number; readonly ridge: number },
): ReadonlyMap<string, Shared> => {
  let drawn = 0;
  return new Map(
    [...byCategory(paths)].map(([category, members]) => {
      const layers = members.map((path) => model.linears.get(path)!);
      const width = layers[0]!.inDim;
      const odd = members.find((path) => model.linears.get(path)!.inDim !== width);
      if (odd !== undefined)
        throw new PeftError(
          'bad-option',
          `frod: ${members[0]} and ${odd} share a basis, ${category}, but have ${width} and ${model.linears.get(odd)!.inDim} inputs; give a target that names one of them`,
        );
      const entries = Math.min(Math.max(1, Math.trunc(width * width * share)), width * (width - 1));
      const basis = scope.buffer(
        `frod_V.${category}`,
        [width, width],
        async (_, __, compute) => (await import('./basis.ts')).sharedBasis(layers, ridge, compute), // with ml-matrix, which few need
      );
      const before = drawn;
      drawn += width * (width - 1) - 1;
      const index = scope.buffer(
        `frod_s_indices.${category}`,
        [2, entries],
        () => {
          const both = new Int32Array(2 * entries);
          torchPermutation(width * (width - 1), seed, entries, before).forEach((number, i) => {
            [both[i], both[entries + i]] = beside(number, width) as [number, number];
          });
          return both;
        },
        'i32',
      );
      checkPlaces(category, index, width);
      scope.buffer(`frod_s_size.${category}`, [2], () => Int32Array.of(width, width), 'i32');
      const line = (which: 0 | 1): Tensor =>
        reshape(slice(index, { axis: 0, start: which, end: which + 1 }), [entries]);
      return [category, { basis, places: add(mul(line(0), constant(Int32Array.of(width), [1])), line(1)) }];
    }),
  );
};

/**
 * FRoD: W' = U·(S + diag(λ))·Vᵀ, of full rank. V [in, in] is a basis that layers of one role share, made of their weights; U [out, in] and the first λ [in] are each weight over it. U and V are frozen; trained are λ and the entries of S
 * [in, in] at random places beside its diagonal, a share of them, zero at the start. Computed as an update U·(S + diag(λ − λ₀))·Vᵀ: two products with square or whole matrices, twice a layer's own work. V and the places
 * are saved; U and λ₀ are made anew of the weights, on the host: seconds for a side of 1,000, hours for one of 10,000. Files without V are refused. Merges. Throws `bad-option`, also when attached to layers
 * of one role that have other inputs, and then `no-match` and `state-mismatch`.
 * Wan et al., 2026. https://doi.org/10.1609/aaai.v40i31.39813
 */
export const frod: MethodFactory<FrodOptions> = defineMethod<FrodOptions>({
  name: 'frod',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      share: shareOption,
      seed: wholeNumber('projection_prng_key', 0),
      ridge: positive('regularization_alpha', 1e-3),
      dropout: rate('frod_dropout', 0),
      bias: biases('frod'),
    },
    attach: (model, scope, { target, share, seed, ridge, dropout }) => {
      const shared = sharedOf(model, scope, targeted(model.linears.keys(), target, 'frod'), { share, seed, ridge });
      return eachLinear(model, scope, target, 'frod', (base, own, path) => {
        const { inDim, outDim } = base;
        const { basis, places } = shared.get(categoryOf(path))!;
        const parts = onceComputed(async (compute) => (await import('./basis.ts')).overBasis(base, basis, compute));
        const lambda = own.param('frod_lambda_l', [inDim], async (_, __, compute) => (await parts(compute)).lambda);
        const first = own.running('frod_lambda_first', [inDim], async (_, __, c) => (await parts(c)).lambda);
        const u = own.running('frod_U', [outDim, inDim], async (_, __, compute) => (await parts(compute)).u);
        const values = own.param('frod_lambda_s_values', [places.shape[0]!], zeros);
        const change = (): Tensor => sub(lambda, first);
        return addDelta(base, {
          apply: (x) => {
            const z = reshape(matmul(own.dropout(x, dropout), basis), [-1, inDim]);
            const turned = add(sparseMatmul(z, values, places, { outDim: inDim, inDim }), mul(z, change()));
            return reshape(matmul(turned, u, { transposeB: true }), [...x.shape.slice(0, -1), outDim]);
          },
          dense: () => {
            const sparse = reshape(scatterAdd(values, places, { rows: inDim * inDim }), [inDim, inDim]);
            const middle = add(matmul(u, sparse), mul(u, change()));
            return matmul(middle, basis, { transposeB: true });
          },
        });
      });
    },
  },
  files: {
    peftType: 'FROD',
    refuses: ({ save_projection: saved }) =>
      saved === false
        ? 'save_projection is false, so the basis is not in the file, and the signs of its columns are those of the LAPACK that made it; save it with save_projection=True'
        : null,
    config: (model) => ({ ...fanInFanOut(model), init_weights: true, save_projection: true }),
    keys: {
      'frod_V.': 'base_model.frod_V.',
      'frod_s_indices.': 'base_model.frod_s_indices.',
      'frod_s_size.': 'base_model.frod_s_size.',
    },
  },
  card: {
    about: 'sparse turns of the weights over a shared basis',
    paper: {
      authors: 'Wan et al.',
      year: 2026,
      title: 'FRoD: Full-Rank Efficient Fine-Tuning with Rotational Degrees for Fast Convergence',
      url: 'https://doi.org/10.1609/aaai.v40i31.39813',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-3,
  },
});
