import { createInterface } from 'node:readline';
import type { ChatMessage } from '@peftjs/io';
import { type CausalLM, generator, streamText, type TextGenerator } from '@peftjs/transformer';
import type { Call } from '../commands.ts';
import type { Context } from '../context.ts';
import { hint } from '../nearest.ts';
import { samplingOf } from '../sampling.ts';
import { type Session, withSession } from '../session.ts';
import { status } from '../status.ts';
import { type Voice, voiceAt } from '../tuned.ts';

/** Tokens of a conversation, where the model takes more, and new ones of an answer. */
const [longest, answer] = [2048, 256];

const help = `/adapter NAME   answers by another adapter, or by the base: /adapter none
/load PATH      loads a run or an adapter
/system TEXT    tells the model how to behave, and begins anew
/reset          begins anew
/exit           ends; Ctrl-C stops an answer`;

/** A conversation that goes on. */
interface Talk {
  readonly voices: Voice[];
  /** The adapter that answers; null for the base. */
  voice: Voice | null;
  messages: ChatMessage[];
}

const roomOf = ({ config, positionsLeft }: CausalLM): number => Math.min(longest, config.maxPositions, positionsLeft);

/** The ids of a conversation that leave room for an answer; the oldest turns go where it is too long. */
const promptOf = (
  talk: Talk,
  session: Session,
  room: number,
  tokens: number,
): { readonly ids: Int32Array; readonly dropped: number } => {
  const { chat } = talk.voice ?? session;
  let dropped = 0;
  for (;;) {
    const ids = chat.encode(talk.messages, { generationPrompt: true });
    const first = talk.messages.findIndex(({ role }) => role !== 'system');
    if (ids.length + tokens <= room || talk.messages.length - first <= 1) return { ids, dropped };
    talk.messages.splice(first, 2);
    dropped += 2;
  }
};

/** One answer, written as it comes. */
const answerTo = async (
  talk: Talk,
  session: Session,
  made: TextGenerator,
  call: Call,
  signal: AbortSignal,
): Promise<void> => {
  const { context, options } = call;
  const model = talk.voice?.adapted.model ?? session.base.model;
  const room = roomOf(model);
  const sampling = { maxTokens: Math.min(answer, Math.floor(room / 2)), ...samplingOf(options) };
  const { ids, dropped } = promptOf(talk, session, room, sampling.maxTokens);
  if (dropped > 0) status(context, `(The oldest ${dropped} messages were left out: the model takes ${room} tokens.)`);
  let text = '';
  const { tokenizer } = session.base;
  const left = Math.min(sampling.maxTokens, room - ids.length);
  for await (const piece of streamText(made, { tokenizer, prompt: ids, ...sampling, maxTokens: Math.max(1, left) })) {
    const shown = text === '' ? piece.trimStart() : piece;
    text += shown;
    if (!context.json) context.out.write(shown);
    if (signal.aborted) break;
  }
  talk.messages.push({ role: 'assistant', content: text });
  context.out.write(context.json ? `${JSON.stringify({ adapter: talk.voice?.name ?? null, text })}\n` : '\n');
};

/** A line that begins with a slash; gives whether the conversation ends. */
const command = async (line: string, talk: Talk, session: Session, context: Context): Promise<boolean> => {
  const [name = '', ...rest] = line.slice(1).split(/\s+/);
  const text = rest.join(' ');
  const names = talk.voices.map((voice) => voice.name);
  switch (name) {
    case 'exit':
    case 'quit':
      return true;
    case 'reset':
      talk.messages = talk.messages.filter(({ role }) => role === 'system');
      return false;
    case 'system':
      talk.messages = text === '' ? [] : [{ role: 'system', content: text }];
      return false;
    case 'load': {
      const voice = await voiceAt(session.base, text);
      talk.voices.push(voice);
      talk.voice = voice;
      status(context, `Answers by ${voice.name}.`);
      return false;
    }
    case 'adapter': {
      const found = talk.voices.find((voice) => voice.name === text) ?? null;
      if (!found && text !== 'none') status(context, `There is no adapter ${text}${hint(text, ['none', ...names])}`);
      else talk.voice = found;
      status(context, `Answers by ${talk.voice?.name ?? 'the base'}.`);
      return false;
    }
    case 'help':
      status(context, help);
      return false;
    default:
      status(context, `There is no /${name}.\n${help}`);
      return false;
  }
};

/** `peftjs chat`: a conversation in the terminal, or of lines from stdin. */
export const run = async (call: Call): Promise<void> => {
  const { args, options, context } = call;
  await withSession(args, options, async (session) => {
    const { system } = options as Readonly<Record<string, string | undefined>>;
    const talk: Talk = {
      voices: [...session.voices],
      voice: session.voices[0] ?? null,
      messages: system === undefined ? [] : [{ role: 'system', content: system }],
    };
    const generators = new Map<Voice | null, TextGenerator>();
    const made = (): TextGenerator => {
      const model = talk.voice?.adapted.model ?? session.base.model;
      const found =
        generators.get(talk.voice) ?? generator(model, { executor: session.executor, context: roomOf(model) });
      generators.set(talk.voice, found);
      return found;
    };
    const isTerminal = context.out.isTTY ?? false;
    const input = context.input ?? process.stdin;
    const lines = createInterface({ input, ...(isTerminal && { output: process.stdout, terminal: true }) });
    status(
      context,
      `${session.base.name}${talk.voice ? ` with ${talk.voice.name}` : ''} on ${session.executor.description}. /help lists what there is.`,
    );
    let answering: AbortController | null = null;
    // The first Ctrl-C ends the answer, the next one the conversation.
    lines.on('SIGINT', () => (answering ? answering.abort() : lines.close()));
    try {
      lines.setPrompt('> ');
      if (isTerminal) lines.prompt();
      for await (const line of lines) {
        const said = line.trim();
        try {
          if (said.startsWith('/')) {
            if (await command(said, talk, session, context)) break;
          } else if (said !== '') {
            talk.messages.push({ role: 'user', content: said });
            answering = new AbortController();
            await answerTo(talk, session, made(), call, answering.signal);
          }
        } catch (error) {
          if (talk.messages.at(-1)?.role === 'user') talk.messages.pop();
          if (!isTerminal) throw error;
          status(context, (error as Error).message);
        }
        answering = null;
        if (isTerminal) lines.prompt();
      }
    } finally {
      lines.close();
      for (const one of generators.values()) await one.close();
    }
  });
};
