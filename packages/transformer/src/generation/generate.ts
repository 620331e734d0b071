import { checkOptions, mustBe, type OnExecutor, onExecutor, type Rules } from '@peftjs/tensor';
import { requireModel } from '../require-model.ts';
import type { CausalLM } from '../task-model.ts';
import { type GeneratorOptions, generator, type StreamOptions, streamRules } from './generator.ts';
import type { Prompt } from './prompts.ts';
import { roomOf } from './room.ts';

/** The prompts to continue, and the executor. */
export interface GenerateOptions<P> extends StreamOptions, OnExecutor, Pick<GeneratorOptions, 'config'> {
  /** Token ids, or a list of such. */
  readonly prompt: P;
}

const rules: Rules<GenerateOptions<Prompt | readonly Prompt[]>> = {
  ...onExecutor,
  ...streamRules,
  config: mustBe.such('what loadGenerationConfig gives, or null', (v) => typeof v === 'object'),
  prompt: mustBe.given(mustBe.such('a list', (v) => Array.isArray(v) || ArrayBuffer.isView(v))),
};

const isList = (prompt: Prompt | readonly Prompt[]): prompt is readonly Prompt[] =>
  Array.isArray(prompt) && typeof prompt[0] === 'object';

/**
 * Continues one prompt, or several at once, and gives the new tokens of each. Compiles and frees its programs: to generate more than once,
 * make a `generator`. Throws as it does.
 */
export async function generate(model: CausalLM, options: GenerateOptions<Prompt>): Promise<number[]>;
export async function generate(model: CausalLM, options: GenerateOptions<readonly Prompt[]>): Promise<number[][]>;
export async function generate(
  model: CausalLM,
  given: GenerateOptions<Prompt | readonly Prompt[]>,
): Promise<number[] | number[][]> {
  requireModel('generate', model, 'logits');
  checkOptions('generate', rules, given);
  const { executor, prompt, config, ...options } = given;
  const prompts = isList(prompt) ? prompt : [prompt];
  const longest = Math.max(1, ...prompts.map((p) => p.length));
  const { context: room } = roomOf(model);
  const context = options.maxTokens === undefined ? room : Math.min(room, Math.max(2, longest + options.maxTokens));
  const made = generator(model, { executor, context, ...(config !== undefined && { config }) });
  try {
    const texts = await made.generate(prompts, options);
    return isList(prompt) ? texts : texts[0]!;
  } finally {
    await made.close();
  }
}
