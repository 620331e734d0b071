import { type Chosen, type Gate, kaimingUniform, type Scope, zeros } from '@peftjs/core';
import { add, matmul, mul, PeftError, pad, slice, type Tensor } from '@peftjs/tensor';
import type { CausalLM, Linear, Pass, Path } from '@peftjs/transformer';

/** An attention's projections. */
export const matrices = ['q', 'k', 'v'] as const;

/** Options of `loraHub` and `gatedLoraHub`. */
export interface LoraHubOptions {
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
export const placesOf = (model: CausalLM, { matrices: chosen }: Chosen<LoraHubOptions>): Place[] => {
  const adapted = matrices.filter((m) => chosen.includes(m));
  const places = model.paths('attn').flatMap((attn): Place[] => {
    const fused = model.linears.get(`${attn}.c_attn`);
    if (!fused)
      return adapted.map((m) => ({
        path: `${attn}.${m}_proj`,
        starts: [0],
        outDim: model.linears.get(`${attn}.${m}_proj`)!.outDim,
      }));
    const outDim = fused.outDim / 3;
    return [{ path: `${attn}.c_attn`, outDim, starts: adapted.map((m) => matrices.indexOf(m) * outDim) }];
  });
  if (places.length === 0) throw new PeftError('no-match', 'loraHub: this part of the model has no attention');
  return places;
};

/** A gate, and the pass that is being recorded. */
export type Open = { readonly gate: Gate; readonly pass: () => Pass | null } | null;

/** A layer with its update, scaled by alpha / rank or by a gate. */
export const adaptedLayer = (
  base: Linear,
  own: Scope,
  { outDim, starts }: Place,
  { rank, alpha, dropout }: Chosen<LoraHubOptions>,
  open: Open,
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
    apply: (x) => {
      const low = matmul(own.dropout(x, dropout), a, { transposeB: true }); // [..., rank · projections]
      const scale = open?.gate(x, open.pass());
      const delta = (i: number): Tensor => {
        const update = matmul(part(low, -1, i, rank), part(b, 0, i, outDim), { transposeB: true });
        return placed(mul(update, scale ? part(scale, -1, i, 1) : alpha / rank), -1, i);
      };
      return add(base.apply(x), sum(delta));
    },
    dense: () => {
      if (open) throw new PeftError('not-mergeable', 'gatedLoraHub: its update depends on the input');
      const { weight, bias } = base.dense();
      const delta = (i: number): Tensor => placed(matmul(part(b, 0, i, outDim), part(a, 0, i, rank)), 0, i);
      return { weight: add(weight, mul(sum(delta), alpha / rank)), bias };
    },
  };
};
