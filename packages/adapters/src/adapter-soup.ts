import { type Adapted, type AdapterConfig, attach, requireAdapted, type Snapshot, snapshot } from '@peftjs/core';
import { checkOptions, mustBe, type OnExecutor, onExecutor, PeftError, type Rules, sameShape } from '@peftjs/tensor';
import type { CausalLM, Model } from '@peftjs/transformer';

/** The weights of `adapterSoup`. */
export interface AdapterSoupOptions extends OnExecutor {
  /** One for each adapter, of any sum but 0: they are divided by it. Default: all the same. */
  readonly weights?: readonly number[];
}

const rules: Rules<AdapterSoupOptions> = {
  ...onExecutor,
  weights: mustBe.such('a list of finite numbers', (v) => Array.isArray(v) && v.every(Number.isFinite)),
};

/** Fields without a part in the function. */
const ofTraining = ['dropout', 'stochastic_depth', 'init_weights', 'init_weights_seed'];

const functionOf = (config: AdapterConfig): string =>
  JSON.stringify(Object.entries(config).filter(([field]) => !ofTraining.includes(field)));

/** The weights, of sum 1. Throws `bad-option`. */
const shares = (weights: readonly number[], count: number): readonly number[] => {
  const total = weights.reduce((sum, w) => sum + w, 0);
  if (count >= 1 && weights.length === count && total !== 0) return weights.map((w) => w / total);
  throw new PeftError(
    'bad-option',
    `adapterSoup: got ${count} adapters and weights ${weights.join(', ') || 'of none'}; give a weight for each, of a sum other than 0`,
  );
};

/**
 * Adapter soup: one adapter whose tensors are the weighted mean of several's, Σ_i w_i θ_i / Σ_i w_i; they are bottlenecks of one shape over one
 * base, trained from the same first values or not. The authors take those of the domains nearest to a text, all weighed the same; it is
 * `average_adapter` of the adapters library. Throws `bad-option` where they are of other shapes, methods or bases.
 * Chronopoulou et al., 2023. https://arxiv.org/abs/2302.07027
 */
export const adapterSoup = async <M extends Model = CausalLM>(
  adapters: readonly Adapted<M>[],
  options: AdapterSoupOptions,
): Promise<Adapted<M>> => {
  for (const adapted of adapters) requireAdapted('adapterSoup', adapted as Adapted<Model>);
  checkOptions('adapterSoup', rules, options);
  const { executor, weights = adapters.map(() => 1) } = options;
  const share = shares(weights, adapters.length);
  const all: Snapshot[] = [];
  for (const adapted of adapters) all.push(await snapshot(adapted as Adapted<Model>, { executor }));
  const [first] = all as [Snapshot];
  const { base } = adapters[0]!;
  const problems = all.flatMap(({ method, config, state }, i) => {
    if (adapters[i]!.base !== base) return [`adapter ${i} is on another base`];
    if (!('scaling' in config && 'reduction_factor' in config))
      return [`adapter ${i} is ${method.name}, no bottleneck`];
    if (functionOf(config) !== functionOf(first.config)) return [`adapter ${i} has other options than the first`];
    const odd = [...state].filter(([name, { shape }]) => !sameShape(shape, first.state.get(name)?.shape ?? []));
    return odd.length > 0 || state.size !== first.state.size ? [`adapter ${i} has other tensors than the first`] : [];
  });
  if (problems.length > 0) throw new PeftError('bad-option', `adapterSoup: ${problems.join('; ')}`);
  const mean = new Map(
    [...first.state].map(([name, { shape, data }]) => {
      const values = Float32Array.from(data, (_, k) =>
        share.reduce((sum, w, i) => sum + w * all[i]!.state.get(name)!.data[k]!, 0),
      );
      return [name, { shape, data: values }];
    }),
  );
  return attach(base, [first.method], { state: mean });
};
