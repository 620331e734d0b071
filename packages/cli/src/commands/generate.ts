import { PeftError } from '@peftjs/tensor';
import { generator, streamText } from '@peftjs/transformer';
import type { Call } from '../commands.ts';
import { samplingOf } from '../sampling.ts';
import { withSession } from '../session.ts';

/** New tokens, where nothing is said. */
const defaultTokens = 128;

/** `peftjs generate`: continues a text, or answers a message by the chat template. */
export const run = async ({ args, options, context }: Call): Promise<void> => {
  const { prompt, message, system } = options as Readonly<Record<string, string | undefined>>;
  if ((prompt === undefined) === (message === undefined))
    throw new PeftError('bad-option', 'generate: give --prompt, a text to continue, or --message, one to answer');
  await withSession(args, options, async ({ base, chat: own, voices, model, executor }) => {
    const chat = voices[0]?.chat ?? own;
    const { tokenizer } = base;
    const messages = [
      ...(system === undefined ? [] : [{ role: 'system', content: system }]),
      { role: 'user', content: message },
    ];
    const ids = prompt === undefined ? chat.encode(messages, { generationPrompt: true }) : tokenizer.encode(prompt);
    const room = Math.min(model.config.maxPositions, model.positionsLeft) - ids.length;
    const sampling = { maxTokens: Math.max(1, Math.min(defaultTokens, room)), ...samplingOf(options) };
    const made = generator(model, {
      executor,
      context: Math.min(model.config.maxPositions, model.positionsLeft, Math.max(2, ids.length + sampling.maxTokens)),
    });
    try {
      let text = '';
      for await (const piece of streamText(made, { tokenizer, prompt: ids, ...sampling })) {
        // A template may leave the space after what opens a turn to the answer.
        const shown = text === '' && message !== undefined ? piece.trimStart() : piece;
        text += shown;
        if (!context.json) context.out.write(shown);
      }
      context.out.write(context.json ? `${JSON.stringify({ text, promptTokens: ids.length })}\n` : '\n');
    } finally {
      await made.close();
    }
  });
};
