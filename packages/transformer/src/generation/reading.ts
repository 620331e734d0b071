import { add, constant, input, PeftError, reshape, type Tensor, type TypedArray } from '@peftjs/tensor';
import type { PassOptions } from '../model.ts';
import { requireModel } from '../require-model.ts';
import type { CausalLM, TaskModel } from '../task-model.ts';
import { alignLeft, checkPrompts, checkSources, type Prompt, padPrompts, slotMask } from './prompts.ts';
import { roomOf } from './room.ts';

/** Inputs of a program by name. */
export type Feeds = Readonly<Record<string, TypedArray>>;

/** The sizes of a stream's cache. */
export interface CacheSizes {
  /** Tokens of a text, at most. */
  readonly context: number;
  /** Tokens that the cache has room for, in every row. */
  readonly slots: number;
  /** Rows of the cache that go on from one prompt. */
  readonly each: number;
}

/** Prompts on their way into a model. */
export interface Begun {
  /** Columns of the first pass's program. */
  readonly columns: number;
  /** The first pass's. */
  readonly feeds: Feeds;
  /** Of the pass over the token number `step` of the new ones, counted from 0; beside the tokens themselves. */
  next(step: number): Feeds;
}

/** A way of prompts into a model: as the beginning of the text, or through an encoder. */
export interface Reading {
  /** The input that new tokens are. */
  readonly ids: string;
  /** Rows that methods put before the text's tokens, which take the cache's first slots. */
  readonly prepended: number;
  /** The longest text in tokens, its beginning and the new ones; Infinity where positions are not limited. */
  readonly context: number;
  /** Whether the text begins with a token that no prompt has. */
  readonly starts: boolean;
  /** The beginning of each prompt's text. */
  textsOf(prompts: readonly Prompt[], start: number | null): readonly Prompt[];
  /** Throws `bad-data` with every prompt that cannot be read, or that leaves no room for so many new tokens. */
  check(prompts: readonly Prompt[], maxTokens: number, context: number): void;
  begin(prompts: readonly Prompt[], texts: readonly Prompt[], sizes: CacheSizes): Begun;
  /** Columns on which the program of later passes depends; 0 where it serves all. */
  nextColumns(columns: number): number;
  /** Tokens that the first pass puts into the cache. */
  firstTokens(columns: number): number;
  /** Logits of the first pass: [batch, 1, vocabulary]. */
  first(batch: number, columns: number, options: PassOptions): Tensor;
  /** Of a pass over one new token, at a slot i32 []. */
  next(batch: number, columns: number, slots: number, slot: Tensor, options: PassOptions): Tensor;
}

/** Every value `each` times in a row, of rows so wide. */
const repeated = <T extends Int32Array | Float32Array>(values: T, width: number, each: number): T => {
  if (each === 1) return values;
  const out = new (values.constructor as new (size: number) => T)(values.length * each);
  for (let row = 0; row < values.length / width; row++)
    for (let i = 0; i < each; i++) out.set(values.subarray(row * width, (row + 1) * width), (row * each + i) * width);
  return out;
};

/** A decoder's: the prompt is the text's beginning, and the prompts of a batch end in the same column. */
const asBeginning = (model: CausalLM): Reading => {
  const { prepended, context } = roomOf(model, 'ids');
  const positions = (batch: number, columns: number): Tensor => input('positions', [batch, columns], 'i32');
  return {
    ids: 'ids',
    prepended,
    context,
    starts: false,
    textsOf: (prompts) => prompts,
    check: (prompts, maxTokens, room) => checkPrompts(prompts, maxTokens, room, model.config),
    begin: (prompts, _, { context: room, slots, each }) => {
      const padded = padPrompts(prompts, room);
      const { tokens: columns, ...feeds } = padded;
      const mask = repeated(slotMask(padded, prompts.length, slots), slots, each);
      return {
        columns,
        feeds: { ...feeds },
        next: (step) => ({
          positions: repeated(
            Int32Array.from(prompts, (p) => p.length + step),
            1,
            each,
          ),
          slot: Int32Array.of(prepended + columns + step),
          mask,
        }),
      };
    },
    nextColumns: () => 0,
    firstTokens: (columns) => columns,
    first: (batch, columns, options) =>
      model.logits(input('ids', [batch, columns], 'i32'), {
        ...options,
        positions: positions(batch, columns),
        mask: input('mask', [batch, columns]),
        lastOnly: true,
      }),
    next: (batch, _, slots, __, options) =>
      model.logits(input('ids', [batch, 1], 'i32'), {
        ...options,
        positions: positions(batch, 1),
        mask: input('mask', [batch, slots]),
        lastOnly: true,
      }),
  };
};

const noStart = (model: TaskModel<unknown>): PeftError =>
  new PeftError(
    'bad-config',
    `generate: neither generation_config.json nor config.json of this ${model.layout.modelType} says which token its decoder begins with (decoder_start_token_id); say startToken`,
  );

/** An encoder-decoder's: the encoder reads the prompt once, and the text is what the decoder writes after its first token. */
const throughEncoder = (model: TaskModel<Tensor>): Reading => {
  const { prepended, context } = roomOf(model, 'decoderIds');
  const source = roomOf(model, 'ids').context;
  return {
    ids: 'decoderIds',
    prepended,
    context,
    starts: true,
    textsOf: (prompts, start) => {
      if (start === null) throw noStart(model);
      return prompts.map(() => Int32Array.of(start));
    },
    check: (prompts, maxTokens, room) => checkSources(prompts, { maxTokens, room, source }, model.config),
    begin: (prompts, texts, { each }) => {
      const { tokens: columns, ids, mask } = alignLeft(prompts, source);
      const all = repeated(mask, columns, each);
      return {
        columns,
        feeds: { ids, mask, decoderIds: Int32Array.from(texts, (text) => text[0]!) },
        next: (step) => ({ slot: Int32Array.of(prepended + 1 + step), mask: all }),
      };
    },
    nextColumns: (columns) => columns,
    firstTokens: () => 1,
    first: (batch, columns, options) =>
      model.outputs(
        {
          ids: input('ids', [batch, columns], 'i32'),
          mask: input('mask', [batch, columns]),
          decoderIds: input('decoderIds', [batch, 1], 'i32'),
        },
        options,
      ),
    next: (batch, columns, _, slot, options) =>
      model.outputs(
        { decoderIds: input('decoderIds', [batch, 1], 'i32'), mask: input('mask', [batch, columns]) },
        { ...options, positions: reshape(add(slot, constant(Int32Array.of(-prepended), [])), [1]) },
      ),
  };
};

/** The way of prompts into a model. Throws `bad-option` for one that writes no text. */
export const readingOf = (who: string, model: TaskModel<Tensor>): Reading => {
  requireModel(who, model);
  if (model.task?.head === 'seq2seqLM') return throughEncoder(model);
  requireModel(who, model, 'logits');
  return asBeginning(model as CausalLM);
};
