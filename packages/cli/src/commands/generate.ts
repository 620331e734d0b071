import type { Tokenizer } from '@peftjs/io';
import { type Executor, PeftError } from '@peftjs/tensor';
import { type CausalLM, generator, streamText } from '@peftjs/transformer';
import { loadTexts, openPlace } from '../base.ts';
import type { Call } from '../commands.ts';
import { runConfigAt, tunedOfTask } from '../learn/open-run.ts';
import { samplingOf } from '../sampling.ts';
import { withDevice, withSession } from '../session.ts';

/** New tokens, where nothing is said. */
const defaultTokens = 128;

/** A model that writes, and the text that it is given. */
interface Asked {
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
  readonly executor: Executor;
  readonly ids: Int32Array;
  /** Tokens that stand before the first new one. */
  readonly before: number;
  /** Whether the space before the first word is left out. */
  readonly trimmed: boolean;
}

/** Writes a text out token by token. */
const write = async (
  { model, tokenizer, executor, ids, before, trimmed }: Asked,
  { options, context }: Call,
): Promise<void> => {
  const longest = Math.min(model.config.maxPositions, model.positionsLeft);
  const sampling = { maxTokens: Math.max(1, Math.min(defaultTokens, longest - before)), ...samplingOf(options) };
  const made = generator(model, {
    executor,
    context: Math.min(longest, Math.max(2, before + sampling.maxTokens)),
  });
  try {
    let text = '';
    for await (const piece of streamText(made, { tokenizer, prompt: ids, ...sampling })) {
      const shown = text === '' && trimmed ? piece.trimStart() : piece;
      text += shown;
      if (!context.json) context.out.write(shown);
    }
    context.out.write(context.json ? `${JSON.stringify({ text, promptTokens: ids.length })}\n` : '\n');
  } finally {
    await made.close();
  }
};

/** Lets the encoder-decoder of a run answer a text; false for a path that is none. Throws `bad-option` for a message, which is for chats. */
const answered = async (call: Call): Promise<boolean> => {
  const { args, options } = call;
  const config = await runConfigAt(args[0], options);
  if (config?.task.name !== 'seq2seqLM') return false;
  const { prompt } = options;
  if (prompt === undefined)
    throw new PeftError(
      'bad-option',
      `generate: ${args[0]} is a run of the task seq2seqLM, which answers a text: give --prompt`,
    );
  const tokenizer = await loadTexts(await openPlace(config.model));
  const { adapted } = (await tunedOfTask(args[0], options))!;
  const ids = tokenizer.encode(prompt as string);
  const model = adapted.model as CausalLM;
  await withDevice(options, (executor) => write({ model, tokenizer, executor, ids, before: 1, trimmed: false }, call));
  return true;
};

/** `peftjs generate`: continues a text, or answers a message by the chat template; the run of an encoder-decoder answers a text. */
export const run = async (call: Call): Promise<void> => {
  const { args, options } = call;
  const { prompt, message, system } = options as Readonly<Record<string, string | undefined>>;
  if ((prompt === undefined) === (message === undefined))
    throw new PeftError('bad-option', 'generate: give --prompt, a text to continue, or --message, one to answer');
  if (prompt !== undefined && system !== undefined)
    throw new PeftError(
      'bad-option',
      'generate: --system is of conversations, and --prompt is a text as it is; give --message, or leave --system out',
    );
  if (await answered(call)) return;
  await withSession(args, options, async ({ base, chat: own, voices, model, executor }) => {
    const chat = voices[0]?.chat ?? own;
    const { tokenizer } = base;
    const messages = [
      ...(system === undefined ? [] : [{ role: 'system', content: system }]),
      { role: 'user', content: message },
    ];
    const ids = prompt === undefined ? chat.encode(messages, { generationPrompt: true }) : tokenizer.encode(prompt);
    // A template may leave the space after what opens a turn to the answer.
    await write({ model, tokenizer, executor, ids, before: ids.length, trimmed: message !== undefined }, call);
  });
};
