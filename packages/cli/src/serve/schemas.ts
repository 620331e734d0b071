import type { ChatMessage } from '@peftjs/io';
import * as z from 'zod';
import { wrong } from './api-error.ts';
import type { Choosing } from './job.ts';

const text = z.string();

/** A message's content: a text, or parts of which each is a text. */
const content = z.union([text, z.array(z.strictObject({ type: z.literal('text'), text }))]).nullish();

/** A field that is not computed here: refused where it is asked for, since without it the answer would be another. */
const absent = (name: string) =>
  z
    .unknown()
    .refine((value) => value === null || value === false || isEmpty(value), { error: `${name} is not supported here` })
    .optional();

const isEmpty = (value: unknown): boolean =>
  (Array.isArray(value) && value.length === 0) ||
  (typeof value === 'object' && value !== null && Object.keys(value).length === 0);

/** The fields that chat and text completions have in common. Other fields that clients send (`user`, `metadata`, …) change nothing and are not looked at. */
const common = {
  model: text.optional(),
  max_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  seed: z.int().nullish(),
  stop: z.union([text.min(1), z.array(text.min(1)).max(16)]).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  n: z.literal(1, { error: 'n must be 1; send several requests, which run together' }).nullish(),
  logit_bias: absent('logit_bias'),
  logprobs: absent('logprobs'),
};

/** The body of `/v1/chat/completions`. */
const chat = z.object({
  ...common,
  max_completion_tokens: z.int().min(1).nullish(),
  messages: z.array(z.looseObject({ role: text, content })).min(1),
  tools: absent('tools'),
  functions: absent('functions'),
  response_format: z.object({ type: z.literal('text', { error: 'only text is written here' }) }).nullish(),
});

/** The body of `/v1/completions`. */
const completion = z.object({
  ...common,
  prompt: z.union([text, z.array(z.int().min(0)).min(1), z.tuple([text])]),
  suffix: absent('suffix'),
  echo: absent('echo'),
  best_of: z.literal(1, { error: 'best_of must be 1' }).nullish(),
});

/** The body of `/v1/embeddings`. */
const embeddings = z.object({
  model: text.optional(),
  input: z.union([
    text,
    z.array(text).min(1).max(2048),
    z.array(z.int().min(0)).min(1),
    z.array(z.array(z.int().min(0)).min(1)).min(1),
  ]),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: absent('dimensions'),
});

/** The body of `/v1/load_lora_adapter`. */
const loading = z.object({ lora_name: text.min(1).max(200), lora_path: text.min(1) });

/** The body of `/v1/unload_lora_adapter`. */
const unloading = z.object({ lora_name: text.min(1) });

/** The way in which a text is to be continued. */
export interface Wanted {
  /** The name of the base or of an adapter; undefined for what the server answers by. */
  readonly model: string | undefined;
  readonly maxTokens: number | undefined;
  readonly stopTexts: readonly string[];
  readonly choosing: Choosing;
  readonly stream: boolean;
  /** Whether a stream ends with the numbers of tokens. */
  readonly usage: boolean;
}

const checked = <T>(schema: z.ZodType<T>, body: unknown): T => {
  const found = schema.safeParse(body);
  if (found.success) return found.data;
  const [issue] = found.error.issues;
  const param = issue!.path.join('.');
  throw wrong(param === '' ? issue!.message : `${param}: ${issue!.message}`, param === '' ? null : param);
};

const wantedOf = (body: z.output<z.ZodObject<typeof common>>, maxTokens: number | null | undefined): Wanted => ({
  model: body.model,
  maxTokens: maxTokens ?? undefined,
  stopTexts: typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []),
  choosing: {
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? 1,
    topK: body.top_k ?? 0,
    presencePenalty: body.presence_penalty ?? 0,
    frequencyPenalty: body.frequency_penalty ?? 0,
    seed: Math.abs(body.seed ?? Math.floor(Math.random() * 2 ** 31)),
  },
  stream: body.stream ?? false,
  usage: body.stream_options?.include_usage ?? false,
});

/** Reads the body of `/v1/chat/completions`. Throws `ApiError`. */
export const readChat = (body: unknown): Wanted & { readonly messages: readonly ChatMessage[] } => {
  const found = checked(chat, body);
  const messages = found.messages.map((message) => ({
    ...message,
    content: Array.isArray(message.content)
      ? message.content.map((part) => part.text).join('')
      : (message.content ?? ''),
  }));
  return { ...wantedOf(found, found.max_completion_tokens ?? found.max_tokens), messages };
};

/** Reads the body of `/v1/completions`. Throws `ApiError`. */
export const readCompletion = (body: unknown): Wanted & { readonly prompt: string | readonly number[] } => {
  const { prompt, ...found } = checked(completion, body);
  const only = Array.isArray(prompt) && typeof prompt[0] === 'string' ? prompt[0] : (prompt as string | number[]);
  return { ...wantedOf(found, found.max_tokens ?? 16), prompt: only };
};

/** Texts to make vectors of. */
export interface WantedVectors {
  readonly model: string | undefined;
  readonly inputs: readonly (string | readonly number[])[];
  readonly base64: boolean;
}

/** Reads the body of `/v1/embeddings`. Throws `ApiError`. */
export const readEmbeddings = (body: unknown): WantedVectors => {
  const { model, input, encoding_format } = checked(embeddings, body);
  const isOne = typeof input === 'string' || typeof input[0] === 'number';
  const inputs = (isOne ? [input] : input) as readonly (string | readonly number[])[];
  return { model, inputs, base64: encoding_format === 'base64' };
};

/** Reads the body of `/v1/load_lora_adapter`. Throws `ApiError`. */
export const readLoading = (body: unknown): { readonly name: string; readonly path: string } => {
  const { lora_name, lora_path } = checked(loading, body);
  return { name: lora_name, path: lora_path };
};

/** Reads the body of `/v1/unload_lora_adapter`. Throws `ApiError`. */
export const readUnloading = (body: unknown): string => checked(unloading, body).lora_name;
