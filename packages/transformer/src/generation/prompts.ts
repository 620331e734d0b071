import { PeftError } from '@peftjs/tensor';
import type { ModelConfig } from '../config/model-config.ts';

/** Token ids of one prompt. */
export type Prompt = ArrayLike<number>;

/** Prompts of a batch as the prefill program is fed: right-aligned, so that all rows continue at the same slot. */
export interface PaddedPrompts {
  /** Columns. */
  readonly tokens: number;
  readonly ids: Int32Array;
  readonly positions: Int32Array;
  /** 1 for a token, 0 for padding: [batch, tokens]. */
  readonly mask: Float32Array;
}

/** Prompt lengths are rounded up to a multiple of it, so that few programs serve all prompts. */
export const bucket = 32;

/** Throws `bad-data` with every prompt that is empty, has foreign tokens, or of whose length `problem` tells something. */
const check = (
  prompts: readonly Prompt[],
  { vocabSize }: ModelConfig,
  begin: string,
  problem: (length: number) => string | null,
): void => {
  const problems = prompts.flatMap((prompt, row) => {
    const foreign = Array.from(prompt).find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (foreign !== undefined) return [`prompt ${row} has token ${foreign}, the vocabulary is 0 to ${vocabSize - 1}`];
    if (prompt.length === 0) return [`prompt ${row} is empty; ${begin}`];
    const found = problem(prompt.length);
    return found === null ? [] : [`prompt ${row} has ${prompt.length} tokens, ${found}`];
  });
  if (prompts.length === 0) problems.push('there is no prompt');
  if (problems.length > 0) throw new PeftError('bad-data', `generate: ${problems.join('; ')}`);
};

/** Throws `bad-data` with every prompt that cannot be read or continued by `maxTokens` within `context`. */
export const checkPrompts = (
  prompts: readonly Prompt[],
  maxTokens: number,
  context: number,
  config: ModelConfig,
): void =>
  check(prompts, config, "begin with the model's begin-of-text token", (length) =>
    length + maxTokens > context
      ? `with ${maxTokens} more it exceeds the context of ${context}; shorten it or ask for fewer`
      : null,
  );

/** Throws `bad-data` with every prompt that an encoder cannot read, and where the decoder has no room for so many tokens after its first. */
export const checkSources = (
  prompts: readonly Prompt[],
  { maxTokens, room, source }: { readonly maxTokens: number; readonly room: number; readonly source: number },
  config: ModelConfig,
): void => {
  check(prompts, config, 'give at least the end-of-text token', (length) =>
    length > source ? `the encoder has room for ${source}; shorten it` : null,
  );
  if (1 + maxTokens > room)
    throw new PeftError(
      'bad-data',
      `generate: ${maxTokens} tokens after the first exceed the context of ${room}; ask for fewer`,
    );
};

/** Right-aligns prompts in a common number of columns. */
export const padPrompts = (prompts: readonly Prompt[], context: number): PaddedPrompts => {
  const longest = Math.max(...prompts.map((p) => p.length));
  const tokens = Math.min(context, Math.ceil(longest / bucket) * bucket);
  const size = prompts.length * tokens;
  const padded = { tokens, ids: new Int32Array(size), positions: new Int32Array(size), mask: new Float32Array(size) };
  for (const [row, prompt] of prompts.entries()) {
    const start = row * tokens + tokens - prompt.length;
    padded.ids.set(prompt, start);
    padded.positions.set(
      Int32Array.from(prompt, (_, i) => i),
      start,
    );
    padded.mask.fill(1, start, start + prompt.length);
  }
  return padded;
};

/** Prompts as an encoder reads them: they begin in the first column, and the rest is hidden. */
export const alignLeft = (prompts: readonly Prompt[], room: number): Pick<PaddedPrompts, 'tokens' | 'ids' | 'mask'> => {
  const longest = Math.max(...prompts.map((p) => p.length));
  const tokens = Math.min(room, Math.ceil(longest / bucket) * bucket);
  const size = prompts.length * tokens;
  const padded = { tokens, ids: new Int32Array(size), mask: new Float32Array(size) };
  for (const [row, prompt] of prompts.entries()) {
    padded.ids.set(prompt, row * tokens);
    padded.mask.fill(1, row * tokens, row * tokens + prompt.length);
  }
  return padded;
};

/** The mask over the cache's slots while rows continue: the prompts' own mask, then ones. */
export const slotMask = ({ tokens, mask }: PaddedPrompts, batch: number, slots: number): Float32Array => {
  const wide = new Float32Array(batch * slots).fill(1);
  for (let row = 0; row < batch; row++) wide.set(mask.subarray(row * tokens, (row + 1) * tokens), row * slots);
  return wide;
};
