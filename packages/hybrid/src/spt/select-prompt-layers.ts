import { attach, type Method } from '@peftjs/core';
import { type SelectivePromptTuningOptions, selectivePromptTuning } from '@peftjs/prompts';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';
import { darts } from '../bilevel/darts.ts';
import { type BilevelOptions, bilevelRules } from '../bilevel/options.ts';

/** Options of `selectPromptLayers`. */
export interface SelectPromptLayersOptions
  extends BilevelOptions,
    Pick<SelectivePromptTuningOptions, 'generator' | 'bottleneck'> {
  /** How many layers keep their prompt. */
  readonly keep: number;
  /** Virtual tokens of each prompt. Default 10. */
  readonly length?: number;
  /** Learning rate of the prompts. Default 3e-2. */
  readonly learningRate?: number;
  /** Learning rate of the gates. Default 0.1. */
  readonly gateRate?: number;
}

/** Layers that were found. */
export interface SelectPromptLayersResult {
  /** Prompts of those layers, to be attached and trained anew, on all batches. */
  readonly method: Method;
  /** The layers of the largest gates, from 0 on, in the order of the model. */
  readonly layers: readonly number[];
  /** α of each layer. */
  readonly gates: readonly number[];
}

const rules: Rules<SelectPromptLayersOptions> = {
  ...bilevelRules,
  keep: mustBe.given(mustBe.count),
  length: mustBe.count,
  generator: mustBe.text,
  bottleneck: mustBe.count,
  learningRate: mustBe.positive,
  gateRate: mustBe.positive,
};

/**
 * The search of SPT: which layers have a prompt. `selectivePromptTuning` is attached with a gate of each layer; prompts are trained on the training batches and gates on the validation batches, step by step, and the layers of the `keep` largest gates stay. Of equal gates the earlier layer stays. The search is DARTS, of second order; the paper's own
 * SPT-DARTS adds a term that its abstract does not define, and rates and steps are not in it. The executor forgets what was learnt. Throws `bad-option`, `no-match`, `diverged`.
 * Zhu & Tan, 2023. https://aclanthology.org/2023.emnlp-main.727; Liu, Simonyan & Yang, 2018 (DARTS). https://arxiv.org/abs/1806.09055
 */
export const selectPromptLayers = async (
  model: TaskModel,
  options: SelectPromptLayersOptions,
): Promise<SelectPromptLayersResult> => {
  checkOptions('selectPromptLayers', rules, options);
  const {
    keep,
    length = 10,
    learningRate = 3e-2,
    gateRate = 0.1,
    executor,
    seed = 0,
    generator = 'none',
    bottleneck = 128,
  } = options;
  const prompts = { length, generator, bottleneck };
  const blocks = model.main.paths('block');
  if (keep > blocks.length)
    throw new PeftError('bad-option', `selectPromptLayers: keep is ${keep}, and the model has ${blocks.length} layers`);
  const { params, model: view } = attach(model, [selectivePromptTuning(prompts)], { seed });
  const structure = blocks.map((path) => params.get(`${path}.prompt_gate`)!);
  const values = [...params.values()].filter((v) => !structure.includes(v));
  try {
    const first = await Promise.all(values.map(async (v) => (await executor.read(v)).slice()));
    const found = await darts(view, {
      ...options,
      who: 'selectPromptLayers',
      values,
      first,
      structure,
      structureFrom: 0,
      learningRate,
      structureRate: gateRate,
    });
    const gates = [...found];
    const layers = [...gates.keys()]
      .sort((a, b) => gates[b]! - gates[a]! || a - b)
      .slice(0, keep)
      .sort((a, b) => a - b);
    return { method: selectivePromptTuning({ ...prompts, layers }), layers, gates };
  } finally {
    executor.release([...params.values()]);
  }
};
