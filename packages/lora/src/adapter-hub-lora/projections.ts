import { type Chosen, type Gate, kaimingUniform, type Scope, zeros } from '@peftjs/core';
import { add, matmul, mul, PeftError, pad, slice, type Tensor } from '@peftjs/tensor';
import type { Linear, Model, Path } from '@peftjs/transformer';

/** An attention's projections. */
export const matrices = ['q', 'k', 'v'] as const;

const roles = { q: 'query', k: 'key', v: 'value' } as const;

/** Options of `adapterHubLora` and `adapterHubGatedLora`. */
export interface AdapterHubLoraOptions {
  /** Which of an attention's projections: `q`, `k`, `v`. Default q and v. */
  readonly matrices?: readonly (typeof matrices)[number][];
  /** Rank r of each update. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank; a gate takes that scale's place. Default 8. */
  readonly alpha?: number;
  /** Probability that an input of the low-rank path is dropped while training. Default 0. */
  readonly dropout?: number;
}

/** A layer that holds some of an attention's projections, and where in its output each adapted one begins. */
export interface Place {
  readonly path: Path;
  readonly outDim: number;
  readonly starts: readonly number[];
}

/** Queries, keys and values have a layer each, or share one as in GPT-2; in that order either way, as the adapters library has them. */
export const placesOf = (model: Model, { matrices: chosen }: Chosen<AdapterHubLoraOptions>): Place[] => {
  const adapted = matrices.filter((m) => chosen.includes(m));
  const parts = model.parts(adapted.map((m) => roles[m]));
  const places = [...new Set(parts.map(({ path }) => path))].map((path): Place => {
    const own = parts.filter((part) => part.path === path);
    return { path, outDim: own[0]!.size, starts: own.map(({ start }) => start) };
  });
  if (places.length === 0) throw new PeftError('no-match', 'adapterHubLora: this part of the model has no attention');
  return places;
};

/** A layer with its update, scaled by alpha / rank or by a gate. */
export const adaptedLayer = (
  base: Linear,
  own: Scope,
  { outDim, starts }: Place,
  { rank, alpha, dropout }: Chosen<AdapterHubLoraOptions>,
  gate: Gate | null,
): Linear => {
  const a = own.param('lora_A', [rank * starts.length, base.inDim], kaimingUniform);
  const b = own.param('lora_B', [outDim * starts.length, rank], zeros);
  const part = (x: Tensor, axis: number, i: number, size: number): Tensor =>
    starts.length === 1 ? x : slice(x, { axis, start: i * size, end: (i + 1) * size });
  const placed = (x: Tensor, axis: number, i: number): Tensor =>
    outDim === base.outDim ? x : pad(x, { axis, before: starts[i]!, after: base.outDim - starts[i]! - outDim });
  const sum = (of: (i: number) => Tensor): Tensor => starts.map((_, i) => of(i)).reduce((x, y) => add(x, y));
  return {
    ...base,
    ...(gate && { acrossRows: true }),
    apply: (x, call) => {
      const low = matmul(own.dropout(x, dropout), a, { transposeB: true }); // [..., rank · projections]
      const scale = gate?.(x, call);
      const delta = (i: number): Tensor => {
        const update = matmul(part(low, -1, i, rank), part(b, 0, i, outDim), { transposeB: true });
        return placed(mul(update, scale ? part(scale, -1, i, 1) : alpha / rank), -1, i);
      };
      return add(base.apply(x, call), sum(delta));
    },
    dense: () => {
      if (gate) throw new PeftError('not-mergeable', 'adapterHubGatedLora: its update depends on the input');
      const { weight, bias } = base.dense();
      const delta = (i: number): Tensor => placed(matmul(part(b, 0, i, outDim), part(a, 0, i, rank)), 0, i);
      return { weight: add(weight, mul(sum(delta), alpha / rank)), bias };
    },
  };
};
