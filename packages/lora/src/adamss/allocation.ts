import { type Decision, ones, type Projection, type Scope, type TrainedStep, zeros } from '@peftjs/core';
import {
  abs,
  add,
  div,
  less,
  maximum,
  mul,
  reshape,
  select,
  sub,
  sum,
  type Tensor,
  type Variable,
} from '@peftjs/tensor';

/** When and how far the number of subspaces that are trained falls. */
export interface AllocationOptions {
  /** How many of all layers are trained in the end. */
  readonly active: number;
  /** The first and the last step, counted from 0, between which the number falls. */
  readonly warmup: number;
  readonly final: number;
  /** Steps between two decisions. */
  readonly interval: number;
  readonly exponent: number;
  /** Decay of the averages of importance, and of its uncertainty. */
  readonly beta1: number;
  readonly beta2: number;
}

/** The trained tensors of a layer's subspaces. */
export interface Trained {
  readonly own: Scope;
  /** [K·r, R] */
  readonly a: Variable;
  /** [out, r] */
  readonly b: Variable;
  /** 1 where an output is in a subspace, [out, K]. */
  readonly members: Tensor;
}

/** All layers, there once a view is made. */
export type AllTrained = ReadonlyMap<string, Trained>;

const subspacesIn = ({ members }: Trained): number => members.shape[1]!;

/** Averages of a parameter, of its shape. */
interface Averages {
  readonly importance: Variable;
  readonly uncertainty: Variable;
}

/** The variables that training keeps of a layer. */
export interface Kept {
  /** 1 while a subspace is trained, [K]. */
  readonly open: Variable;
  /** [K] */
  readonly score: Variable;
  readonly a: Averages;
  readonly b: Averages;
}

/** Makes them, or finds those that are there. */
export const keptOf = (layer: Trained): Kept => {
  const { own, a, b } = layer;
  const averages = (name: string, { shape }: Variable): Averages => ({
    importance: own.running(`${name}.importance`, shape, zeros),
    uncertainty: own.running(`${name}.uncertainty`, shape, zeros),
  });
  return {
    open: own.running('adamss_open', [subspacesIn(layer)], ones),
    score: own.running('adamss_score', [subspacesIn(layer)], zeros),
    a: averages('adamss_A', a),
    b: averages('adamss_B', b),
  };
};

/** How many subspaces are trained after step t, counted from 0: all at `warmup`, `active` from `final` on. */
export const openAt = (total: number, { active, warmup, final, exponent }: AllocationOptions, t: number): number => {
  const left = Math.min(1, Math.max(0, 1 - (t - warmup) / (final - warmup)));
  return Math.trunc(active + (total - active) * left ** exponent);
};

type Updates = readonly (readonly [Variable, Tensor])[];

const average = (old: Tensor, now: Tensor, beta: number): Tensor => add(mul(old, beta), mul(now, 1 - beta));

/**
 * New averages of a step between `warmup` and `final`: with I = |θ·∂θ|, u ← β₂u + (1−β₂)|I − s| and s ← β₁s + (1−β₁)I; and the score of each subspace, the mean of s·u over its rows of A plus that over
 * its entries of B. Parameters count after the optimiser's step, as in Hugging Face PEFT.
 */
export const gatherImportance = (
  all: AllTrained,
  scope: Scope,
  { gradient, updated }: TrainedStep,
  { warmup, final, beta1, beta2 }: AllocationOptions,
): Updates => {
  const done = scope.running('adamss_steps', [1], zeros);
  const counts = less(abs(sub(done, (warmup + final) / 2)), (final - warmup) / 2 + 0.5);
  const perLayer = [...all.values()].flatMap((layer): Updates => {
    const kept = keptOf(layer);
    const [k, [rows, width]] = [subspacesIn(layer), layer.a.shape as [number, number]];
    const scored = (
      param: Variable,
      { importance, uncertainty }: Averages,
    ): { readonly score: Tensor; readonly updates: Updates } => {
      const now = abs(mul(updated(param), gradient(param)));
      const u = select(counts, average(uncertainty, abs(sub(now, importance)), beta2), uncertainty);
      const s = select(counts, average(importance, now, beta1), importance);
      return {
        score: mul(s, u),
        updates: [
          [importance, s],
          [uncertainty, u],
        ],
      };
    };
    const [a, b] = [scored(layer.a, kept.a), scored(layer.b, kept.b)];
    const isUsed = less(0, sum(mul(layer.a, layer.a), { axes: [1] })); // [K·r]: a subspace may have less than r rows
    const ranks = sum(reshape(isUsed, [k, rows / k]), { axes: [1] });
    const ofA = div(sum(reshape(a.score, [k, (rows / k) * width]), { axes: [1] }), maximum(mul(ranks, width), 1));
    const entries = mul(sum(layer.members, { axes: [0] }), ranks);
    const perOutput = reshape(sum(b.score, { axes: [1] }), [layer.b.shape[0]!, 1]);
    const ofB = div(sum(mul(layer.members, perOutput), { axes: [0] }), maximum(entries, 1));
    return [...a.updates, ...b.updates, [kept.score, add(ofA, ofB)]];
  });
  return [[done, add(done, 1)], ...perLayer];
};

/** Parameters of subspaces that are no longer trained stay as they were. */
export const holdClosed =
  (all: AllTrained): Projection =>
  (updated) =>
    [...all.values()].flatMap((layer): Updates => {
      const { a, b, members } = layer;
      const { open } = keptOf(layer);
      const k = subspacesIn(layer);
      const perSubspace = (x: Tensor): Tensor => reshape(x, [k, (a.shape[0]! / k) * a.shape[1]!]);
      const chosen = select(reshape(open, [k, 1]), perSubspace(updated(a)), perSubspace(a));
      const isOpen = sum(mul(members, open), { axes: [1], keepDims: true }); // [out, 1]
      return [
        [a, reshape(chosen, a.shape)],
        [b, select(isOpen, updated(b), b)],
      ];
    });

/** Closes the subspaces of all layers with the least scores, until as many are open as the step allows; none is opened again. Importance is gathered anew after each time. */
export const closeSubspaces = (all: AllTrained, options: AllocationOptions): Decision => ({
  due: (step) => {
    const t = step - 1;
    return t >= options.warmup && t <= options.final && t % options.interval === 0;
  },
  run: async (step, { read, write }) => {
    const layers = [...all.values()].map(keptOf);
    const states = await Promise.all(
      layers.map(async ({ open, score }) => ({ open: Float32Array.from(await read(open)), score: await read(score) })),
    );
    const total = states.reduce((n, { open }) => n + open.length, 0);
    const candidates = states
      .flatMap(({ open, score }) => Array.from(open, (isOpen, k) => ({ open, k, isOpen, score: score[k]! })))
      .filter(({ isOpen }) => isOpen === 1)
      .toSorted((x, y) => y.score - x.score);
    for (const { open, k } of candidates.slice(openAt(total, options, step - 1))) open[k] = 0;
    for (const [i, { open, a, b }] of layers.entries()) {
      await write(open, states[i]!.open);
      for (const v of [a.importance, a.uncertainty, b.importance, b.uncertainty])
        await write(v, new Float32Array(v.shape.reduce((x, y) => x * y, 1)));
    }
  },
});
