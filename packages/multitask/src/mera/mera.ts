import { type Adapted, type AverageOptions, attach, averageAdapters, type Examples, type State } from '@peftjs/core';
import { checkOptions, mustBe, onExecutor, PeftError, type Rules } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import { distancesOfActivity } from './activity.ts';
import { biasOf, type Distances, distancesOfWeights, isDown, type Tensors, upOf, valuesOf } from './units.ts';

/** Options of `mera`. */
export interface MeraOptions extends AverageOptions {
  /** The adapter, by its number, whose order of units the others are brought to. Default 0. */
  readonly anchor?: number;
  /** Examples by which units are told: by their values over all tokens. Default: by the weights and bias that go into them. */
  readonly data?: readonly Examples[];
}

const rules: Rules<MeraOptions> = {
  ...onExecutor,
  weights: mustBe.such('a list of finite numbers', (v) => Array.isArray(v) && v.every(Number.isFinite)),
  normalize: mustBe.flag,
  data: mustBe.such('a list of batches, one at least', (v) => Array.isArray(v) && v.length > 0),
  anchor: mustBe.such('the number of an adapter', (v) => Number.isSafeInteger(v) && (v as number) >= 0),
};

const solver = async (): Promise<typeof import('linear-sum-assignment')> => {
  try {
    return await import('linear-sum-assignment');
  } catch (cause) {
    throw new PeftError(
      'bad-option',
      'mera: units are brought together by linear-sum-assignment, which is not installed; npm install linear-sum-assignment',
      { cause },
    );
  }
};

/** The same bottlenecks with their units in the order in which they lie next to the anchor's. */
const brought = async (other: Tensors, distances: (down: string) => Distances): Promise<Tensors> => {
  const { linearSumAssignment } = await solver();
  const made = new Map(other);
  for (const down of [...other.keys()].filter(isDown)) {
    const [from, up] = [other.get(down)!, other.get(upOf(down))!];
    const [units, width] = from.shape as readonly [number, number];
    const { rowAssignments } = linearSumAssignment(
      distances(down).map((row) => [...row]),
      { maximaze: false },
    );
    const order = Array.from(rowAssignments);
    const rows = Float32Array.from(
      from.data,
      (_v, at) => from.data[order[Math.floor(at / width)]! * width + (at % width)]!,
    );
    const columns = Float32Array.from(up.data, (_v, at) => up.data[at - (at % units) + order[at % units]!]!);
    made.set(down, { ...from, data: rows });
    made.set(upOf(down), { ...up, data: columns });
    const bias = other.get(biasOf(down));
    if (bias) made.set(biasOf(down), { ...bias, data: Float32Array.from(order, (unit) => bias.data[unit]!) });
  }
  return made;
};

/**
 * MerA: one adapter of several bottlenecks (`houlsby`, `pfeiffer`, …) over the same base, W = Σ wᵢ·W̃ᵢ, where W̃ᵢ is adapter i with the units of each bottleneck in another order, which changes nothing of what it
 * computes: the one that brings them next to the anchor's. That is the optimal transport between units of equal mass, exact, with a Euclidean distance as the cost: of what goes into a unit (its row of W_down and its bias), or with `data` of its
 * values before the activation over all tokens of these examples, of each adapter in a pass of its own; rows of W_down, b_down and columns of W_up move with it. Without it a plain average mixes units that have nothing to do with each other. Throws as `averageAdapters`, and `bad-option` for
 * adapters without bottlenecks, for an anchor that is not among them, and where the solver is not installed. He, Fan, Ding, Shen, Zhou & Tao, 2023. https://arxiv.org/abs/2308.15982
 *
 * The transport is that of Singh & Jaggi, 2020, by weights or activations, https://arxiv.org/abs/1910.05653, https://github.com/sidak/otfusion (`--geom-ensemble-type`, with `--prelu-acts`), solved by Jonker and Volgenant's algorithm: `npm install linear-sum-assignment`.
 */
export const mera = async <M extends Model>(
  adapters: readonly Adapted<M>[],
  options: MeraOptions,
): Promise<Adapted<M>> => {
  checkOptions('mera', rules, options);
  const { anchor: number = 0, data, ...rest } = options;
  const plain = await averageAdapters(adapters, rest); // refuses those that are unlike
  const anchor = adapters[number];
  if (!anchor) throw new PeftError('bad-option', `mera: anchor ${number} is not among ${adapters.length} adapters`);
  if (![...plain.state.keys()].some(isDown))
    throw new PeftError(
      'bad-option',
      'mera: the adapters have no bottleneck of two matrices, whose units could be brought in one order; `averageAdapters` takes any method',
    );
  const values = await Promise.all(adapters.map((adapted) => valuesOf(adapted, rest)));
  const aligned: Adapted<M>[] = [];
  for (const [i, own] of values.entries()) {
    if (i === number) {
      aligned.push(anchor);
      continue;
    }
    const known = data && (await distancesOfActivity(anchor, adapters[i]!, { executor: rest.executor, data }));
    const state: State = await brought(
      own,
      (down) => known?.get(down) ?? distancesOfWeights(values[number]!, own, down),
    );
    aligned.push(attach(anchor.base, anchor.methods, { state }));
  }
  return averageAdapters(aligned, rest);
};
