import {
  type Chosen,
  flag,
  type Gate,
  kaimingUniform,
  layerNumbers,
  layersKept,
  type Option,
  type OptionTable,
  type Scope,
  zeros,
} from '@peftjs/core';
import {
  add,
  div,
  matmul,
  maximum,
  mul,
  PeftError,
  pad,
  reshape,
  slice,
  sqrt,
  sum as sumOver,
  type Tensor,
} from '@peftjs/tensor';
import { type Linear, type Model, nameMatches, type Path } from '@peftjs/transformer';

/** An attention's projections. */
export const matrices = ['q', 'k', 'v'] as const;

const roles = { q: 'query', k: 'key', v: 'value' } as const;

/** Which layers the adapters library's LoRA adapts. */
export interface AdapterHubPlaces {
  /** Which of an attention's projections: `q`, `k`, `v`. Default q and v. */
  readonly matrices?: readonly (typeof matrices)[number][];
  /** Whether attentions are adapted. Default true. */
  readonly attention?: boolean;
  /** Whether the layer of the MLP is that the library calls intermediate: `down_proj` of a Llama, `c_fc` of GPT-2. Default false. */
  readonly intermediate?: boolean;
  /** The same of the one that it calls output: `up_proj`, `c_proj`. Default false. */
  readonly output?: boolean;
  /** Numbers of layers in which nothing is adapted. Default: none. */
  readonly leaveOut?: readonly number[];
}

/** The option of which projections are adapted, as the library's files have it. */
const matricesOption: Option<readonly (typeof matrices)[number][]> = {
  key: 'attn_matrices',
  fallback: () => ['q', 'v'],
  expected: 'a list of some of q, k, v',
  accepts: (v) => Array.isArray(v) && v.length > 0 && v.every((m) => matrices.includes(m)),
  toJson: (chosen) => [...chosen],
};

/** How its files hold them. */
export const placeOptions: OptionTable<AdapterHubPlaces> = {
  matrices: matricesOption,
  attention: flag('selfattn_lora', true),
  intermediate: flag('intermediate_lora', false),
  output: flag('output_lora', false),
  leaveOut: layerNumbers('leave_out'),
};

/** Options of `adapterHubLora` and `adapterHubGatedLora`. */
export interface AdapterHubLoraOptions extends AdapterHubPlaces {
  /** Rank r of each update. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank; a gate takes that scale's place. Default 8. */
  readonly alpha?: number;
  /** Probability that an input of the low-rank path is dropped while training. Default 0. */
  readonly dropout?: number;
  /**
   * Whether rows have trained lengths m, DoRA as the library has it: y = m / ‖W + B·A‖ ∘ (Wx + b + s·B·A·x), whose norms are of the update without its scale. Not where one layer
   * holds several projections. Default false. Liu et al., 2024. https://arxiv.org/abs/2402.09353
   */
  readonly dora?: boolean;
}

/** A layer that holds some of an attention's projections, and where in its output each adapted one begins. */
export interface Place {
  readonly path: Path;
  readonly outDim: number;
  readonly starts: readonly number[];
}

/** The layers of the MLP that the library calls by a name. Throws `no-match` where a model has none. */
const ofMlp = (model: Model, table: string): Path[] => {
  const names = model.layout.defaultTarget(table) ?? [];
  const mlp = new Set(model.parts(['gate', 'up', 'down']).map(({ path }) => path));
  const found = [...mlp].filter((path) => names.some((name) => nameMatches(name, path)));
  if (found.length > 0) return found;
  throw new PeftError(
    'no-match',
    `adapterHubLora: which layer of an MLP of ${model.layout.modelType} is meant is not known here`,
  );
};

/**
 * Queries, keys and values have a layer each, or share one as in GPT-2; in that order either way, as the adapters library has them. Those of the MLP
 * follow. Throws `no-match` where none is left.
 */
export const placesOf = (model: Model, chosen: Chosen<AdapterHubPlaces>): Place[] => {
  const adapted = chosen.attention ? matrices.filter((m) => chosen.matrices.includes(m)) : [];
  const parts = model.parts(adapted.map((m) => roles[m]));
  const places = [...new Set(parts.map(({ path }) => path))].map((path): Place => {
    const own = parts.filter((part) => part.path === path);
    return { path, outDim: own[0]!.size, starts: own.map(({ start }) => start) };
  });
  const wide = [
    ...(chosen.intermediate ? ofMlp(model, 'adapterHubIntermediate') : []),
    ...(chosen.output ? ofMlp(model, 'adapterHubOutput') : []),
  ].map((path): Place => ({ path, outDim: model.linears.get(path)!.outDim, starts: [0] }));
  const all = [...places, ...wide];
  const kept = layersKept(
    model,
    all.map(({ path }) => path),
    chosen.leaveOut,
  );
  if (kept.length > 0) return all.filter(({ path }) => kept.includes(path));
  throw new PeftError(
    'no-match',
    'adapterHubLora: no layer is left to adapt: this part of the model has none of those that are chosen, or all of them are left out',
  );
};

const normsOf = (weight: Tensor): Tensor => sqrt(maximum(sumOver(mul(weight, weight), { axes: [1] }), 1e-30));

/** A layer whose rows have lengths of their own: those of W + B·A at the start. Throws `bad-option` for a layer that holds several projections. */
const withLengths = (base: Linear, own: Scope, path: Path, adapted: Linear, update: Tensor): Linear => {
  const { weight } = base.dense();
  const m = own.param('m.weight', [base.outDim, 1], reshape(normsOf(weight), [base.outDim, 1]));
  if (update.shape[0] !== base.outDim)
    throw new PeftError(
      'bad-option',
      `adapterHubLora: dora: ${path} holds several projections, for which the adapters library has none; leave dora out`,
    );
  const gains = (): Tensor => div(reshape(m, [-1]), normsOf(add(base.dense().weight, update)));
  return {
    ...adapted,
    apply: (x, call) => mul(adapted.apply(x, call), gains()),
    dense: () => {
      const { weight: all, bias } = adapted.dense();
      const g = gains();
      return { weight: mul(all, reshape(g, [-1, 1])), bias: bias && mul(bias, g) };
    },
  };
};

/** A layer with its update, scaled by alpha / rank or by a gate. */
export const adaptedLayer = (
  base: Linear,
  own: Scope,
  { path, outDim, starts }: Place,
  { rank, alpha, dropout, dora }: Chosen<AdapterHubLoraOptions>,
  gate: Gate | null,
): Linear => {
  const a = own.param('lora_A', [rank * starts.length, base.inDim], kaimingUniform);
  const b = own.param('lora_B', [outDim * starts.length, rank], zeros);
  const part = (x: Tensor, axis: number, i: number, size: number): Tensor =>
    starts.length === 1 ? x : slice(x, { axis, start: i * size, end: (i + 1) * size });
  const placed = (x: Tensor, axis: number, i: number): Tensor =>
    outDim === base.outDim ? x : pad(x, { axis, before: starts[i]!, after: base.outDim - starts[i]! - outDim });
  const sum = (of: (i: number) => Tensor): Tensor => starts.map((_, i) => of(i)).reduce((x, y) => add(x, y));
  const adapted: Linear = {
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
  if (!dora) return adapted;
  return withLengths(base, own, path, adapted, starts.length === 1 ? matmul(b, a) : b);
};
