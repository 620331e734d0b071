import { checkOptions, mustBe, type OnExecutor, onExecutor, PeftError, type Rules } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import { type Adapted, attach } from './attach.ts';
import type { State } from './method.ts';
import { unlikeness } from './unlikeness.ts';

/** Weights of an average. */
export interface AverageOptions extends OnExecutor {
  /** Weight of each adapter, of any sign. Default: all alike. */
  readonly weights?: readonly number[];
  /** Whether the weights are divided by their sum, so that they sum to 1. Default true. */
  readonly normalize?: boolean;
}

const rules: Rules<AverageOptions> = {
  ...onExecutor,
  weights: mustBe.such('a list of finite numbers', (v) => Array.isArray(v) && v.every(Number.isFinite)),
  normalize: mustBe.flag,
};

const problemsOf = (adapters: readonly Adapted<Model>[], weights: readonly number[], normalize: boolean): string[] => {
  const [first, ...more] = adapters;
  if (!first) return ['there is no adapter; give at least one'];
  return [
    ...(weights.length !== adapters.length
      ? [`there are ${adapters.length} adapters and ${weights.length} weights; give one for each`]
      : []),
    ...(normalize && weights.reduce((a, b) => a + b, 0) === 0
      ? ['the weights sum to 0 and cannot be brought to 1; give others, or normalize: false']
      : []),
    ...more.flatMap(({ base }, i) => (base === first.base ? [] : [`adapter ${i + 1} has another base than adapter 0`])),
    ...more.flatMap((other, i) => unlikeness(first, other).map((odd) => `adapter ${i + 1}: ${odd}`)),
  ];
};

/** Frozen tensors stand for the same thing in all adapters, or their average would stand for nothing. */
const requireSame = (name: string, values: readonly ArrayLike<number>[]): void => {
  const [first, ...more] = values as readonly [ArrayLike<number>, ...ArrayLike<number>[]];
  if (more.every((other) => Array.from(other).every((v, i) => Object.is(v, first[i])))) return;
  throw new PeftError(
    'bad-option',
    `averageAdapters: ${name} is not trained and differs between the adapters (projections, places or masks of their own), so trained values do not mean the same; average adapters that were made with one seed`,
  );
};

/**
 * One adapter with the weighted average of the trained values of several of one method and configuration over the same base, θ = Σ wᵢ·θᵢ: a soup.
 * Of LoRA it is not the average of what the adapters do, since products mix; `mergeAdapters` of `@peftjs/lora` gives that. As `average_adapter` of the adapters
 * library with `linear`. Throws `bad-option` for adapters that differ in more than their values.
 * Chronopoulou et al., 2023 (AdapterSoup: a uniform average of those trained on what is nearest to the target). https://arxiv.org/abs/2302.07027
 */
export const averageAdapters = async <M extends Model>(
  adapters: readonly Adapted<M>[],
  options: AverageOptions,
): Promise<Adapted<M>> => {
  checkOptions('averageAdapters', rules, options);
  const { executor, weights = adapters.map(() => 1), normalize = true } = options;
  const problems = problemsOf(adapters, weights, normalize);
  if (problems.length > 0) throw new PeftError('bad-option', `averageAdapters: ${problems.slice(0, 5).join('; ')}`);
  const [first] = adapters as readonly [Adapted<M>];
  const sum = normalize ? weights.reduce((a, b) => a + b, 0) : 1;
  const state = new Map<string, State extends ReadonlyMap<string, infer T> ? T : never>();
  for (const [name, { shape }] of first.state) {
    const values = await Promise.all(adapters.map((adapted) => executor.read(adapted.state.get(name)!)));
    if (!first.params.has(name)) {
      requireSame(name, values);
      state.set(name, { shape, data: values[0]! });
      continue;
    }
    const mean = Float32Array.from(values[0]!, (_, i) =>
      values.reduce((total, v, k) => total + (weights[k]! / sum) * v[i]!, 0),
    );
    state.set(name, { shape, data: mean });
  }
  return attach(first.base, first.methods, { state });
};
