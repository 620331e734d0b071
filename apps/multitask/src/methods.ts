import { attach, type Method, type Snapshot } from '@peftjs/core';
import { adaMix, lLora, lora } from '@peftjs/lora';
import {
  attempt,
  hyperformer,
  hyperformerPlusPlus,
  moeLora,
  mtLora,
  mtlLora,
  multitaskPromptTuning,
  pha,
  poly,
} from '@peftjs/multitask';
import { promptTuning } from '@peftjs/prompts';
import { PeftError, sizeOf } from '@peftjs/tensor';
import type { CausalLM } from '@peftjs/transformer';

/** How a method is trained. */
export interface How {
  /** Peak learning rate of AdamW. */
  readonly rate: number;
  /** Whether each example says its task. */
  readonly tasked: boolean;
}

/** A method that is trained on all tasks at once. */
export interface Contestant extends How {
  readonly name: string;
  readonly method: Method;
}

/** Rank of LoRA for one task. */
const rankOfOne = 2;

/** Rows of a prompt for one task, as many values. */
const lengthOfOne = 28;

/** A method without the name that it has in the comparison. */
export type Unnamed = Omit<Contestant, 'name'>;

/** Methods that are trained for each task on its own. */
export const ofOneTask: { readonly [M in 'lora' | 'lLora' | 'promptTuning']: Unnamed } = {
  lora: { method: lora({ rank: rankOfOne }), rate: 1.5e-2, tasked: false },
  lLora: { method: lLora({ rank: 5 }), rate: 1e-2, tasked: false },
  promptTuning: { method: promptTuning({ length: lengthOfOne }), rate: 3e-2, tasked: false },
};

/** A prompt for the left-out task that begins with one that was trained on another, `spot`. */
export const fromPrompt = (prompt: Snapshot): Method => promptTuning({ length: lengthOfOne, init: { prompt } });

/** ATTEMPT, which begins with the prompts of each task. */
export const attemptOf = (sources: readonly Snapshot[], tasks: number): Unnamed => ({
  method: attempt({ sources, length: lengthOfOne, tasks, bottleneck: 8 }),
  rate: 3e-2,
  tasked: true,
});

/** Values that a method trains. */
export const parametersOf = (model: CausalLM, method: Method): number =>
  [...attach(model, [method]).params.values()].reduce((n, { shape }) => n + sizeOf(shape), 0);

/** Throws `bad-option` where a method has not as many values as LoRA of rank 2 for each of the tasks, ±10 %. */
export const requireEqual = (
  model: CausalLM,
  tasks: number,
  all: readonly Pick<Contestant, 'name' | 'method'>[],
): void => {
  const equal = tasks * parametersOf(model, ofOneTask.lora.method);
  const odd = all.flatMap(({ name, method }) => {
    const own = parametersOf(model, method);
    return Math.abs(own / equal - 1) <= 0.1 ? [] : [`${name} trains ${own}`];
  });
  if (odd.length > 0)
    throw new PeftError('bad-option', `methods are compared at ${equal} trained values, ±10 %; ${odd.join(', ')}`);
};

/**
 * The methods that begin with nothing, each with as many values as LoRA of rank 2 for each of the tasks. Throws `bad-option` where one has not. AdapterFusion is not among them: its queries, keys and values [d, d] are fifteen times as many.
 */
export const contestants = (model: CausalLM, tasks: number): readonly Contestant[] => {
  const all: readonly Contestant[] = [
    { name: 'lora', method: lora({ rank: rankOfOne * tasks }), rate: 1.5e-2, tasked: false },
    {
      name: 'moeLora',
      method: moeLora({ rank: rankOfOne * tasks, experts: tasks, tasks, taskDim: 16, dropout: 0 }),
      rate: 1.5e-2,
      tasked: true,
    },
    { name: 'mtlLora', method: mtlLora({ rank: tasks, ups: 3, tasks }), rate: 1.5e-2, tasked: true },
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
    { name: 'poly', method: poly({ rank: rankOfOne, skills: tasks, tasks }), rate: 1.5e-2, tasked: true },
    {
      name: 'hyperformer',
      method: hyperformer({ tasks, reduction: 64, embedding: 8, projected: 8, hidden: 16 }),
      rate: 5e-3,
      tasked: true,
    },
    {
      name: 'hyperformerPlusPlus',
      method: hyperformerPlusPlus({ tasks, reduction: 64, embedding: 16, projected: 16, hidden: 32 }),
      rate: 5e-3,
      tasked: true,
    },
    {
      name: 'pha',
      method: pha({ tasks, bottleneck: 4, embedding: 16, projected: 16, hidden: 32 }),
      rate: 5e-3,
      tasked: true,
    },
    {
      name: 'adaMix',
      method: adaMix({ rank: rankOfOne, alpha: 8, experts: tasks, consistency: 1 }),
      rate: 1.5e-2,
      tasked: false,
    },
    {
      name: 'multitaskPromptTuning',
      method: multitaskPromptTuning({ length: 64, rank: 15, tasks }),
      rate: 3e-2,
      tasked: true,
    },
  ];
  requireEqual(model, tasks, all);
  return all;
};
