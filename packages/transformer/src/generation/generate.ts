import { checkOptions, mustBe, type OnExecutor, onExecutor, type Rules, type Tensor } from '@peftjs/tensor';
import type { TaskModel } from '../task-model.ts';
import { type GeneratorOptions, generator } from './generator.ts';
import type { Prompt } from './prompts.ts';
import { readingOf } from './reading.ts';
import { type StreamOptions, streamRules } from './stream-options.ts';

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
 * Continues one prompt, or several at once, and gives the new tokens of each; an encoder-decoder answers them. Compiles and frees its programs: to generate more than once,
 * make a `generator`. Throws as it does.
 */
export async function generate(model: TaskModel<Tensor>, options: GenerateOptions<Prompt>): Promise<number[]>;
export async function generate(
  model: TaskModel<Tensor>,
  options: GenerateOptions<readonly Prompt[]>,
): Promise<number[][]>;
export async function generate(
  model: TaskModel<Tensor>,
  given: GenerateOptions<Prompt | readonly Prompt[]>,
): Promise<number[] | number[][]> {
  const { context: room, starts } = readingOf('generate', model);
  checkOptions('generate', rules, given);
  const { executor, prompt, config, ...options } = given;
  const prompts = isList(prompt) ? prompt : [prompt];
  const longest = starts ? 1 : Math.max(1, ...prompts.map((p) => p.length));
  const { maxTokens } = options;
  const made = generator(model, {
    executor,
    ...(maxTokens !== undefined && { context: Math.min(room, Math.max(2, longest + maxTokens)) }),
    ...(config !== undefined && { config }),
  });
  try {
    const texts = await made.generate(prompts, options);
    return isList(prompt) ? texts : texts[0]!;
  } finally {
    await made.close();
  }
}
