import { attach, type Method } from '@peftjs/core';
import { adaMix, lora } from '@peftjs/lora';
import { moeLora, mtLora, mtlLora, multitaskPromptTuning, poly } from '@peftjs/multitask';
import { PeftError, sizeOf } from '@peftjs/tensor';
import type { CausalLM } from '@peftjs/transformer';

/** A method that is trained on all tasks at once. */
export interface Contestant {
  readonly name: string;
  readonly method: Method;
  /** Peak learning rate of AdamW. */
  readonly rate: number;
  /** Whether each example says its task. */
  readonly tasked: boolean;
}

/** Rank of LoRA for one task. */
export const rankOfOne = 2;

/** Values that a method trains. */
export const parametersOf = (model: CausalLM, method: Method): number =>
  [...attach(model, [method]).params.values()].reduce((n, { shape }) => n + sizeOf(shape), 0);

/**
 * The methods, each with as many values as LoRA of rank 2 for each of the tasks, ±10 %. Throws `bad-option` where one has not. AdapterFusion is not among them: its queries, keys and values [d, d] are fifteen times as many; nor ATTEMPT, which begins with prompts of
 * other tasks.
 */
export const contestants = (model: CausalLM, tasks: number): readonly Contestant[] => {
  const all: readonly Contestant[] = [
    { name: 'lora', method: lora({ rank: rankOfOne * tasks }), rate: 5e-3, tasked: false },
    {
      name: 'moeLora',
      method: moeLora({ rank: rankOfOne * tasks, experts: tasks, tasks, taskDim: 16, dropout: 0 }),
      rate: 5e-3,
      tasked: true,
    },
    { name: 'mtlLora', method: mtlLora({ rank: tasks, ups: 3, tasks }), rate: 5e-3, tasked: true },
    {
      name: 'mtLora',
      method: mtLora({
        rank: 2,
        taskRank: 3,
        tasks,
        dropout: 0,
        target: ['q_proj', 'v_proj', 'o_proj', 'down_proj'],
      }),
      rate: 5e-3,
      tasked: true,
    },
    { name: 'poly', method: poly({ rank: rankOfOne, skills: tasks, tasks }), rate: 5e-3, tasked: true },
    {
      name: 'adaMix',
      method: adaMix({ rank: rankOfOne, alpha: 8, experts: tasks, consistency: 1 }),
      rate: 5e-3,
      tasked: false,
    },
    {
      name: 'multitaskPromptTuning',
      method: multitaskPromptTuning({ length: 150, rank: 4, tasks }),
      rate: 3e-2,
      tasked: true,
    },
  ];
  const equal = tasks * parametersOf(model, lora({ rank: rankOfOne }));
  const odd = all.flatMap(({ name, method }) => {
    const own = parametersOf(model, method);
    return Math.abs(own / equal - 1) <= 0.1 ? [] : [`${name} trains ${own}`];
  });
  if (odd.length > 0)
    throw new PeftError('bad-option', `methods are compared at ${equal} trained values, ±10 %; ${odd.join(', ')}`);
  return all;
};
