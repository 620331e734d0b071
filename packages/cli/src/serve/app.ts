import { randomUUID } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { sep } from 'node:path';
import type { Chat } from '@peftjs/io';
import { isPeftError } from '@peftjs/tensor';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { cors } from 'hono/cors';
import { streamSSE } from 'hono/streaming';
import { hint } from '../nearest.ts';
import { type Tuned, voiceAt } from '../tuned.ts';
import { ApiError, wrong } from './api-error.ts';
import { type Engine, QueueFull } from './engine.ts';
import { type GuardOptions, guard } from './guard.ts';
import type { Job } from './job.ts';
import type { Metrics } from './metrics.ts';
import { readChat, readCompletion, readEmbeddings, readLoading, readUnloading, type Wanted } from './schemas.ts';

/** How requests are answered. */
export interface AppOptions extends GuardOptions {
  readonly engine: Engine;
  readonly tuned: Tuned;
  readonly metrics: Metrics;
  /** New tokens of an answer, where a request says nothing. */
  readonly maxTokens: number;
  /** The adapter that answers where a request names no model; null for the base. */
  readonly answersBy: string | null;
  /** The folder out of which adapters may be loaded while the server runs; null where none may. */
  readonly loadFrom: string | null;
  /** Bytes of a request, at most. */
  readonly longestBody: number;
}

/** The two kinds of completions, as their answers are called. */
interface Kind {
  readonly id: 'chatcmpl' | 'cmpl';
  readonly object: string;
  readonly chunk: string;
  /** The whole text, and a piece of it, as a choice has it. */
  whole(text: string): object;
  piece(text: string, isFirst: boolean): object;
  end: object;
}

const chatKind: Kind = {
  id: 'chatcmpl',
  object: 'chat.completion',
  chunk: 'chat.completion.chunk',
  whole: (content) => ({ message: { role: 'assistant', content, refusal: null }, logprobs: null }),
  piece: (content, isFirst) => ({ delta: { ...(isFirst && { role: 'assistant' }), content }, logprobs: null }),
  end: { delta: {}, logprobs: null },
};

const textKind: Kind = {
  id: 'cmpl',
  object: 'text_completion',
  chunk: 'text_completion',
  whole: (text) => ({ text, logprobs: null }),
  piece: (text) => ({ text, logprobs: null }),
  end: { text: '', logprobs: null },
};

const bodyOf = async ({ req }: Context): Promise<unknown> => {
  try {
    return await req.json();
  } catch (error) {
    throw wrong(`the body is not JSON: ${(error as Error).message}`);
  }
};

const errorOf = (error: unknown): ApiError => {
  if (error instanceof ApiError) return error;
  if (error instanceof QueueFull)
    return new ApiError(429, 'rate_limit_error', 'too many requests wait; try again later', { code: 'queue_full' });
  if (
    isPeftError(error) &&
    ['bad-option', 'bad-data', 'file-missing', 'bad-adapter', 'state-mismatch'].includes(error.code)
  )
    return wrong(error.message, null, error.code);
  return new ApiError(
    500,
    'server_error',
    isPeftError(error) ? error.message : 'something failed here; the log of the server says what',
  );
};

/** Makes the application: OpenAI's routes over an engine, and those of vLLM that load adapters. */
export const makeApp = (options: AppOptions): Hono => {
  const { engine, tuned, metrics, origins, loadFrom, longestBody } = options;
  const { base } = tuned;
  const started = Math.floor(Date.now() / 1000);

  /** The adapter of a model's name; null for the base. Throws `ApiError` for none that is here. */
  const adapterOf = (model: string | undefined): string | null => {
    if (model === undefined || model === '') return options.answersBy;
    if (model === base.name) return null;
    if (engine.voices.has(model)) return model;
    throw new ApiError(
      404,
      'not_found_error',
      `there is no model ${model}${hint(model, [base.name, ...engine.voices.keys()])}`,
      { param: 'model', code: 'model_not_found' },
    );
  };
  const chatFor = (adapter: string | null): Chat => (adapter === null ? tuned.chat : engine.voices.get(adapter)!.chat);

  const ask = (adapter: string | null, ids: Int32Array, { maxTokens, stopTexts, choosing }: Wanted): Job => {
    const room = engine.context - ids.length;
    if (room < 1 || (maxTokens !== undefined && maxTokens > room))
      throw wrong(
        `the context is ${engine.context} tokens, the prompt has ${ids.length}${maxTokens === undefined ? '' : `, and ${maxTokens} more were asked for`}; shorten it, or ask for fewer`,
        null,
        'context_length_exceeded',
      );
    const most = maxTokens ?? Math.min(options.maxTokens, room);
    return engine.ask({ adapter, ids, maxTokens: most, stopTexts, choosing });
  };

  const answer = async (
    c: Context,
    kind: Kind,
    wanted: Wanted,
    ids: Int32Array,
    adapter: string | null,
  ): Promise<Response> => {
    const job = ask(adapter, ids, wanted);
    const id = `${kind.id}-${randomUUID()}`;
    const head = { id, created: Math.floor(Date.now() / 1000), model: adapter ?? base.name };
    const usage = () => ({
      prompt_tokens: ids.length,
      completion_tokens: job.tokens(),
      total_tokens: ids.length + job.tokens(),
    });
    // Whoever has gone away gets no more tokens.
    c.req.raw.signal.addEventListener('abort', () => job.end('cancelled'));
    const pieces = job.text(base.tokenizer);
    const first = (text: string, isFirst: boolean): string => (isFirst && kind === chatKind ? text.trimStart() : text);
    if (!wanted.stream) {
      let text = '';
      for await (const piece of pieces) text += first(piece, text === '');
      metrics.tokens(ids.length, job.tokens());
      const choice = { index: 0, ...kind.whole(text), finish_reason: job.finish() };
      return c.json({ ...head, object: kind.object, choices: [choice], usage: usage() });
    }
    return streamSSE(c, async (stream) => {
      stream.onAbort(() => job.end('cancelled'));
      const send = (choices: readonly object[], more: object = {}): Promise<void> =>
        stream.writeSSE({ data: JSON.stringify({ ...head, object: kind.chunk, choices, ...more }) });
      try {
        let isFirst = true;
        for await (const piece of pieces) {
          const text = first(piece, isFirst);
          if (text === '' && isFirst) continue;
          await send([{ index: 0, ...kind.piece(text, isFirst), finish_reason: null }]);
          isFirst = false;
        }
        await send([{ index: 0, ...kind.end, finish_reason: job.finish() }]);
        if (wanted.usage) await send([], { usage: usage() });
        await stream.writeSSE({ data: '[DONE]' });
      } catch (error) {
        await stream.writeSSE({ data: JSON.stringify(errorOf(error).body()) });
      } finally {
        job.end('cancelled');
        metrics.tokens(ids.length, job.tokens());
      }
    });
  };

  const idsOf = (input: string | readonly number[], param: string): Int32Array => {
    const ids =
      typeof input === 'string' ? base.tokenizer.encode(input, { readSpecial: false }) : Int32Array.from(input);
    const { vocabSize } = base.model.config;
    const odd = ids.find((id) => id >= vocabSize);
    if (odd !== undefined) throw wrong(`${param}: token ${odd} is not below ${vocabSize}`, param);
    if (ids.length === 0) throw wrong(`${param}: is empty`, param);
    return ids;
  };

  const app = new Hono();
  app.onError((error, c) => {
    const told = errorOf(error);
    if (told.status === 500) console.error(error);
    return c.json(told.body(), told.status);
  });
  app.notFound((c) =>
    c.json(new ApiError(404, 'not_found_error', `there is no ${c.req.method} ${c.req.path}`).body(), 404),
  );
  app.use(async (c, next) => {
    const start = performance.now();
    await next();
    metrics.answered(c.req.routePath, c.res.status, (performance.now() - start) / 1000);
  });
  if (origins.length > 0) app.use(cors({ origin: [...origins] }));
  app.use(guard(options));
  app.use(
    bodyLimit({
      maxSize: longestBody,
      onError: () => {
        throw new ApiError(413, 'invalid_request_error', `the body has more than ${longestBody} bytes`);
      },
    }),
  );

  app.get('/health', (c) => c.json({ status: 'ok', ...engine.load() }));
  app.get('/metrics', async (c) => {
    const { type, body } = await metrics.text(engine);
    return c.text(body, 200, { 'content-type': type });
  });
  app.get('/v1/models', (c) => {
    const one = (id: string, root: string | null) => ({
      id,
      object: 'model',
      created: started,
      owned_by: 'peftjs',
      parent: root,
    });
    return c.json({
      object: 'list',
      data: [one(base.name, null), ...[...engine.voices.keys()].map((name) => one(name, base.name))],
    });
  });
  app.post('/v1/chat/completions', async (c) => {
    const wanted = readChat(await bodyOf(c));
    const adapter = adapterOf(wanted.model);
    const ids = chatFor(adapter).encode(wanted.messages, { generationPrompt: true });
    return answer(c, chatKind, wanted, ids, adapter);
  });
  app.post('/v1/completions', async (c) => {
    const wanted = readCompletion(await bodyOf(c));
    return answer(c, textKind, wanted, idsOf(wanted.prompt, 'prompt'), adapterOf(wanted.model));
  });
  app.post('/v1/embeddings', async (c) => {
    const { model, inputs, base64 } = readEmbeddings(await bodyOf(c));
    const adapter = adapterOf(model);
    const texts = inputs.map((input) => idsOf(input, 'input'));
    const long = texts.findIndex((ids) => ids.length > engine.context);
    if (long >= 0)
      throw wrong(
        `input.${long}: has ${texts[long]!.length} tokens, and the context is ${engine.context}`,
        'input',
        'context_length_exceeded',
      );
    const vectors = await engine.embed(adapter, texts);
    const tokens = texts.reduce((n, ids) => n + ids.length, 0);
    metrics.tokens(tokens, 0);
    const shown = (v: Float32Array) =>
      base64 ? Buffer.from(v.buffer, v.byteOffset, v.byteLength).toString('base64') : Array.from(v);
    return c.json({
      object: 'list',
      model: adapter ?? base.name,
      data: vectors.map((v, index) => ({ object: 'embedding', index, embedding: shown(v) })),
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    });
  });
  app.post('/v1/load_lora_adapter', async (c) => {
    const { name, path } = readLoading(await bodyOf(c));
    if (loadFrom === null)
      throw new ApiError(
        403,
        'permission_error',
        'adapters are not loaded while it runs; --load-from DIR lets those of a folder',
      );
    const [root, own] = await Promise.all([realpath(loadFrom), realpath(path).catch(() => null)]);
    if (own === null || !(own === root || own.startsWith(root + sep)))
      throw new ApiError(403, 'permission_error', `${path}: is not there, or not below ${loadFrom}`);
    if (name === base.name) throw wrong(`lora_name: ${name} is the base`, 'lora_name');
    await engine.add(await voiceAt(base, own, name));
    return c.json({ loaded: name });
  });
  app.post('/v1/unload_lora_adapter', async (c) => {
    const name = readUnloading(await bodyOf(c));
    if (!(await engine.remove(name))) throw new ApiError(404, 'not_found_error', `there is no adapter ${name}`);
    return c.json({ unloaded: name });
  });
  return app;
};
