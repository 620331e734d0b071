import { attach, type Method, type Target } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { checkOptions, mustBe, PeftError, type Rules, sizeOf, type Variable } from '@peftjs/tensor';
import type { Path, TaskModel } from '@peftjs/transformer';
import { darts } from '../bilevel/darts.ts';
import { type BilevelOptions, bilevelRules } from '../bilevel/options.ts';
import { selectedLora } from './selected-lora.ts';

/** Options of `autoLora`. */
export interface AutoLoraOptions extends BilevelOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** The rank that every layer has in the search, and the most that it may get. Default 8. */
  readonly rank?: number;
  /** Updates are scaled by alpha / rank. Default 16. */
  readonly alpha?: number;
  /** Learning rate of A and B. Default 3e-4. */
  readonly learningRate?: number;
  /** Learning rate of the selection. Default 3e-4. */
  readonly selectionRate?: number;
  /** Values of A and B to begin with, by name: those of a state. Default: LoRA's first ones. */
  readonly from?: ReadonlyMap<string, ArrayLike<number>>;
}

/** Ranks that were found. */
export interface AutoLoraResult {
  /** LoRA of those ranks, to be attached and trained anew, on all batches. */
  readonly method: Method;
  /** The rank of each layer, by path. */
  readonly ranks: Readonly<Record<Path, number>>;
  /** The numbers c that weigh each layer's components by softmax(c). */
  readonly selection: Readonly<Record<Path, readonly number[]>>;
}

const rules: Rules<AutoLoraOptions> = {
  ...bilevelRules,
  target: mustBe.such('layers', (v) => v !== null),
  rank: mustBe.count,
  alpha: mustBe.positive,
  learningRate: mustBe.positive,
  selectionRate: mustBe.positive,
  from: mustBe.object,
};

/** The values to begin with. Throws `state-mismatch`. */
const firstValues = async (
  variables: ReadonlyMap<string, Variable>,
  { from, executor }: AutoLoraOptions,
): Promise<readonly ArrayLike<number>[]> => {
  const strange = [...(from?.keys() ?? [])].filter((name) => !variables.has(name));
  const odd = [...variables].flatMap(([name, { shape }]) => {
    const size = from?.get(name)?.length ?? sizeOf(shape);
    return size === sizeOf(shape) ? [] : [`${name} has ${size} values, [${shape}] are wanted`];
  });
  const problems = [...odd, ...strange.map((name) => `there is no ${name}`)];
  if (problems.length > 0) throw new PeftError('state-mismatch', `autoLora: from: ${problems.join('; ')}`);
  return Promise.all([...variables].map(async ([name, v]) => from?.get(name) ?? (await executor.read(v)).slice()));
};

/** How many of some numbers are at least their mean. */
const aboveMean = (numbers: readonly number[]): number => {
  const mean = numbers.reduce((sum, v) => sum + v, 0) / numbers.length;
  return numbers.filter((v) => v >= mean).length;
};

/**
 * AutoLoRA: the rank of each layer, found by gradients. Every component of an update has a number c that weighs it, ΔW = (alpha/r)·Σⱼ softmax(c)ⱼ·bⱼaⱼᵀ, and a step of `darts` trains c on a validation batch and A and B on a training batch.
 * In the end a layer's rank is the number of its components whose c is at
 * least 1/r of their sum. The result is an ordinary LoRA with ranks by path: attach it and train it on all data. Components are looked at without dropout; the executor forgets what they learnt. Throws `bad-option`, `no-match`, `state-mismatch`, `diverged`.
 * Zhang, Qiang, Somayajula & Xie, 2024. https://arxiv.org/abs/2403.09113. As the authors' code has it, https://github.com/ruz048/AutoLoRA, with its defaults, where the validation split is 0.3 of the training data.
 */
export const autoLora = async (model: TaskModel, options: AutoLoraOptions): Promise<AutoLoraResult> => {
  checkOptions('autoLora', rules, options);
  const { executor, target, rank = 8, alpha = 16, seed = 0 } = options;
  const { learningRate = 3e-4, selectionRate = 3e-4 } = options;
  const base = { rank, alpha, ...(target !== undefined && { target }) };
  const paths = lora(base).settled!(model)!.paths.filter((path) => model.linears.has(path));
  const { params, model: view } = attach(model, [selectedLora({ paths, rank, alpha })], { seed });
  const chosen = paths.map((path) => params.get(`${path}.selection`)!);
  const own = new Map([...params].filter(([, v]) => !chosen.includes(v)));
  const variables = [...own.values()];
  try {
    const selection = await darts(view, {
      ...options,
      who: 'autoLora',
      values: variables,
      first: await firstValues(own, options),
      structure: chosen,
      structureFrom: 1,
      learningRate,
      structureRate: selectionRate,
    });
    const found = paths.map((path, i) => [path, [...selection.subarray(i * rank, (i + 1) * rank)]] as const);
    const ranks = Object.fromEntries(found.map(([path, numbers]) => [path, aboveMean(numbers)]));
    return { method: lora({ ...base, rankPattern: ranks }), ranks, selection: Object.fromEntries(found) };
  } finally {
    executor.release([...params.values()]);
  }
};
