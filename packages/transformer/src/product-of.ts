import { add, concat, mul, PeftError, slice, type Tensor } from '@peftjs/tensor';
import { renamedCache } from './kv-cache.ts';
import type { Linear } from './linear.ts';
import type { PassOptions } from './model.ts';
import type { Inputs, States } from './states.ts';
import { type CausalLM, rowsOf, type TaskRun } from './task-model.ts';
import type { Head } from './tasks/task.ts';

/** Options of one of two models, which keeps what it has in its part of the cache. */
const optionsOf = ({ cache, ...options }: PassOptions, name: string): PassOptions => ({
  ...options,
  ...(cache && { cache: renamedCache(cache, (path) => `${name}:${path}`) }),
});

/** Rows in front of a text would stand in one cache's slots and not in the other's. Throws `bad-option`. */
const requireAlike = (first: States, second: States): void => {
  const [a, b] = [first.rows.shape[1]!, second.rows.shape[1]!];
  if (a !== b)
    throw new PeftError(
      'bad-option',
      `productOf: one model has ${a} rows for a text and the other ${b}; methods that put rows in front have no place in one of two models`,
    );
};

/** Two heads as one that reads both models' rows, side by side: what they give is added, the second times `weight`. */
const headOf = (first: Head, second: Head, weight: number): Head => {
  const { inDim } = first.layer;
  const dense = (): never => {
    throw new PeftError('not-mergeable', 'productOf: a product of two models has no one head');
  };
  const layer: Linear = {
    inDim: inDim + second.layer.inDim,
    outDim: first.layer.outDim,
    acrossRows: (first.layer.acrossRows ?? false) || (second.layer.acrossRows ?? false),
    apply: (x) => {
      const axis = x.shape.length - 1;
      const a = first.layer.apply(slice(x, { axis, start: 0, end: inDim }), first.call);
      const b = second.layer.apply(slice(x, { axis, start: inDim, end: x.shape[axis]! }), second.call);
      return add(a, mul(b, weight));
    },
    dense,
    encode: dense,
  };
  return { ...second, layer, features: concat(first.features, second.features, { axis: 2 }) };
};

/**
 * The product of two decoders' next-token distributions, p ∝ p₁ · p₂^weight: a decoder whose logits are z₁ + weight·z₂, with one cache for
 * both, that generates and has losses as any. They must have one vocabulary. Patches, and so methods, are the second one's; the first stays as it
 * is. Throws `bad-option`. Liu et al., 2021 (DExperts). https://arxiv.org/abs/2105.03023; Lu et al., 2023 (IPA). https://arxiv.org/abs/2305.15065
 */
export const productOf = (first: CausalLM, second: CausalLM, weight = 1): CausalLM => {
  if (first.config.vocabSize !== second.config.vocabSize)
    throw new PeftError(
      'bad-option',
      `productOf: the vocabularies have ${first.config.vocabSize} and ${second.config.vocabSize} tokens; both models must have the same tokenizer`,
    );
  if (!Number.isFinite(weight))
    throw new PeftError('bad-option', `productOf: weight must be a finite number, got ${weight}`);
  const both = (inputs: Inputs, options: PassOptions = {}) => {
    const [a, b] = [first.run(inputs, optionsOf(options, 'first')), second.run(inputs, optionsOf(options, 'second'))];
    requireAlike(a.states, b.states);
    return { states: b.states, head: headOf(a.head, b.head, weight) };
  };
  const { task } = second;
  const run: CausalLM['run'] = (inputs, options): TaskRun<Tensor> => {
    const { states, head } = both(inputs, options);
    return {
      states,
      head,
      outputs: () => task.outputs(head),
      loss: () => task.loss(head, inputs),
      labelLosses: ({ labels, ...how } = {}) => task.labelLosses!(head, labels ? { ...inputs, labels } : inputs, how),
    };
  };
  const headAt: (ids: Tensor, options: Parameters<CausalLM['logits']>[1]) => Head = (
    ids,
    { mask, lastOnly = false, at, ...options } = {},
  ) => {
    const { head } = both(mask ? { ids, mask } : { ids }, options);
    return { ...head, features: rowsOf(head.features, lastOnly, at) };
  };
  return {
    ...second,
    config: { ...second.config, maxPositions: Math.min(first.config.maxPositions, second.config.maxPositions) },
    positionsLeft: Math.min(first.positionsLeft, second.positionsLeft),
    passPositions: Math.min(first.passPositions, second.passPositions),
    batchSize: second.batchSize ?? first.batchSize,
    with: (patch) => productOf(first, second.with(patch), weight),
    states: (inputs, options) => both(inputs, options).states,
    run,
    outputs: (inputs, options) => run(inputs, options).outputs(),
    loss: (inputs, options) => run(inputs, options).loss(),
    hidden: (ids, options) => headAt(ids, options).features,
    logits: (ids, options) => {
      const { layer, features, call } = headAt(ids, options);
      return layer.apply(features, call);
    },
  };
};
