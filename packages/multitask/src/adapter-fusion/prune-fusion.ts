import { type Adapted, attach, type Examples, type State } from '@peftjs/core';
import { sumOutputs } from '@peftjs/core/collect';
import {
  add,
  checkOptions,
  mul,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type Rules,
  reshape,
  slice,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Inputs, Model, Pass } from '@peftjs/transformer';
import { adapterFusion, fusionWeights, type PlaceWeights } from './adapter-fusion.ts';
import type { FusedAdapter } from './fused-adapters.ts';

/** Options of `pruneFusion`. */
export interface PruneFusionOptions extends OnExecutor {
  /** How many adapters are left, two at least. */
  readonly keep: number;
  /** Examples by which their weights are told. */
  readonly data: readonly Examples[];
}

const rules: Rules<PruneFusionOptions> = {
  ...onExecutor,
  keep: mustBe.such('a whole number of at least 2', (v) => Number.isSafeInteger(v) && (v as number) >= 2),
  data: mustBe.such('a list of batches, one at least', (v) => Array.isArray(v) && v.length > 0),
};

/** Sums over the tokens that are there: of the weights of each adapter, [adapters]. */
const summedOver = ({ weights, tokens, mask: name }: PlaceWeights, inputs: Inputs): Tensor => {
  const [, rows] = weights.shape as readonly [number, number, number];
  const own = rows === tokens ? weights : slice(weights, { axis: 1, start: rows - tokens, end: rows });
  const mask = inputs[name];
  return sum(mask ? mul(own, reshape(mask, [...mask.shape, 1])) : own, { axes: [0, 1] });
};

/** The sum of each adapter's weights over all places and tokens. Throws `bad-option` where no example reaches a place. */
const relevance = async ({ model }: Adapted<Model>, look: PruneFusionOptions): Promise<Float64Array> => {
  const sums = await sumOutputs(look, (inputs) => {
    let pass: Pass | undefined;
    model.with({ watch: (made) => void (pass ??= made) }).states(inputs);
    const places = pass?.get(fusionWeights) ?? [];
    if (places.length === 0)
      throw new PeftError('bad-option', 'pruneFusion: the examples reach no place where adapters are fused');
    return { weights: places.map((of) => summedOver(of, inputs)).reduce((a, b) => add(a, b)) };
  });
  return sums.get('weights')!;
};

const nameOf = (as: readonly string[]): string => `adapter_fusion_layer.${as.join(',')}.`;

/**
 * A trained fusion with fewer adapters: those that it weighs most, by the mean of their weights over all places and all tokens of some examples. The others are dropped, and what was trained of the fusion stays as it is. Inference is
 * faster by what they took. Throws `bad-option` for an adapter that is no `adapterFusion`, or one of no more adapters than are to be left.
 * Rücklé et al., 2020 (AdapterDrop, section 4.2). https://arxiv.org/abs/2010.11918
 */
export const pruneFusion = async <M extends Model>(
  fused: Adapted<M>,
  options: PruneFusionOptions,
): Promise<Adapted<M>> => {
  checkOptions('pruneFusion', rules, options);
  const { base, methods, state } = fused;
  const [method] = methods;
  if (methods.length !== 1 || method?.name !== 'adapterFusion')
    throw new PeftError(
      'bad-option',
      `pruneFusion: takes an adapterFusion, got ${methods.map(({ name }) => name).join(', ')}`,
    );
  const chosen = adapterFusion.optionsOf(method.config(base), base);
  const entries = chosen.adapters as readonly (readonly [string, FusedAdapter])[];
  const { keep, executor } = options;
  if (keep >= entries.length)
    throw new PeftError('bad-option', `pruneFusion: keep ${keep} must be below the ${entries.length} adapters`);
  const weights = await relevance(fused, options);
  const best = [...weights.keys()].sort((i, j) => weights[j]! - weights[i]! || i - j).slice(0, keep);
  const isLeft = (_: unknown, i: number): boolean => best.includes(i);
  const [before, after] = [entries, entries.filter(isLeft)].map((all) => nameOf(all.map(([as]) => as))) as [
    string,
    string,
  ];
  const dropped = entries.filter((of, i) => !isLeft(of, i)).map(([as]) => `.adapters.${as}.`);
  const left: [string, State extends ReadonlyMap<string, infer T> ? T : never][] = [];
  for (const [name, v] of state)
    if (!dropped.some((part) => name.includes(part)))
      left.push([name.replace(before, after), { shape: v.shape, data: await executor.read(v) }]);
  const kept = adapterFusion({ ...chosen, adapters: entries.filter(isLeft) });
  return attach(base, [kept], { state: new Map(left) });
};
