import {
  checkOptions,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type Random,
  type Rules,
  randomSource,
  type TypedArray,
} from '@peftjs/tensor';
import { requireModel } from '../require-model.ts';
import type { CausalLM } from '../task-model.ts';
import { makePrograms, type Programs } from './programs.ts';
import { bucket, checkPrompts, type Prompt, padPrompts, slotMask } from './prompts.ts';
import { roomOf } from './room.ts';
import { checkFinite, type SampleOptions, sampleRules, sampleToken } from './sample.ts';

/** How a continuation is made. */
export interface StreamOptions extends SampleOptions {
  /** New tokens per prompt, at most. Default: as many as the context has room for after the longest prompt. */
  readonly maxTokens?: number;
  /** Any of these ends a row; it is not given out. Default: the config's end-of-text tokens. */
  readonly stop?: readonly number[];
  /** Row i draws from a stream of seed + i, so it gives what its prompt alone gives with that seed. Default 0. */
  readonly seed?: number;
}

/** The rules of its options. */
export const streamRules: Rules<StreamOptions> = {
  maxTokens: mustBe.count,
  stop: mustBe.such('a list of token ids', (v) => Array.isArray(v) || ArrayBuffer.isView(v)),
  seed: mustBe.whole,
  ...sampleRules,
};

/** One new token. */
export interface GeneratedToken {
  /** Of which prompt. */
  readonly row: number;
  readonly token: number;
}

/** A model made ready to generate: programs compiled once, and a cache on the device. */
export interface TextGenerator {
  /** Continues prompts token by token. Throws `bad-option`, `bad-data`; `bad-program` when it is closed or another stream of it is open. */
  stream(prompts: readonly Prompt[], options?: StreamOptions): AsyncGenerator<GeneratedToken, void>;
  /** Continues prompts and gives the new tokens of each. */
  generate(prompts: readonly Prompt[], options?: StreamOptions): Promise<number[][]>;
  /** Frees the programs and the cache; the model's weights stay on the executor. */
  close(): Promise<void>;
}

/** The executor that a generator runs on, and how it is made. */
export interface GeneratorOptions extends OnExecutor {
  /**
   * Tokens per sequence, prompt and continuation together; the cache is as long. Default: the config's `maxPositions`, less the rows that
   * methods put in front where positions are learned.
   */
  readonly context?: number;
}

const rules: Rules<GeneratorOptions> = { ...onExecutor, context: mustBe.number };

interface Rows {
  readonly random: readonly Random[];
  readonly next: Int32Array;
  readonly done: boolean[];
}

/** Chooses each open row's next token; closes rows that chose a stop token. */
function* choose(
  rows: Rows,
  result: Readonly<Record<string, TypedArray>>,
  vocabSize: number,
  stop: ReadonlySet<number>,
  sampling: SampleOptions,
): Generator<GeneratedToken> {
  const { likeliest, logits, total } = result;
  if (total) checkFinite(total[0]!);
  for (const [row, random] of rows.random.entries()) {
    if (rows.done[row]) continue;
    const token = logits
      ? sampleToken(logits.subarray(row * vocabSize, (row + 1) * vocabSize), sampling, random)
      : likeliest![row]!;
    rows.next[row] = token;
    rows.done[row] = stop.has(token);
    if (!rows.done[row]) yield { row, token };
  }
}

const checkContext = (context: number, room: number): void => {
  if (!Number.isInteger(context) || context < 2 || context > room)
    throw new PeftError(
      'bad-option',
      `generator: context must be a whole number from 2 to the model's ${room}, got ${context}`,
    );
};

/**
 * Makes a generator. Prompts of a batch may differ in length; each row's tokens are those that its prompt alone gives, up to rounding.
 * Programs are compiled when first needed: one per batch size, and one per batch size and 32 tokens of prompt length.
 * Throws `bad-option` for a context that the model does not have.
 */
export const generator = (model: CausalLM, options: GeneratorOptions): TextGenerator => {
  requireModel('generator', model, 'logits');
  checkOptions('generator', rules, options);
  const { vocabSize, eosIds } = model.config;
  const { prepended, context: room } = roomOf(model);
  const { executor, context = room } = options;
  checkContext(context, room);
  const slots = context + bucket - 1;
  const programs = new Map<number, Programs>();
  const programsFor = (batch: number): Programs => {
    const known =
      programs.get(batch) ?? makePrograms(model, { executor, batch, prepended, slots, positionLimit: context });
    programs.set(batch, known);
    return known;
  };
  let busy = false;
  let closed = false;
  const checkOpen = (): void => {
    if (closed) throw new PeftError('bad-program', 'generator: it is closed; make a new one');
  };

  async function* tokens(prompts: readonly Prompt[], options: StreamOptions): AsyncGenerator<GeneratedToken, void> {
    checkOptions('generate', streamRules, options);
    const { maxTokens, stop = eosIds, seed = 0, ...sampling } = options;
    const limit = maxTokens ?? Math.max(1, context - Math.max(0, ...prompts.map((p) => p.length)));
    checkPrompts(prompts, limit, context, model.config);
    const batch = prompts.length;
    const { prefill, decode } = programsFor(batch);
    const read = sampling.temperature ? ['logits'] : ['likeliest', 'total'];
    const rows: Rows = {
      random: prompts.map((_, row) => randomSource(seed + row, 'generate')),
      next: new Int32Array(batch),
      done: prompts.map(() => false),
    };
    const { tokens: columns, ...feeds } = padPrompts(prompts, context);
    const mask = slotMask({ tokens: columns, ...feeds }, batch, slots);
    let result = await (await prefill(columns)).run({ ...feeds }, { read });
    for (let step = 0; ; step++) {
      // Whoever closes it in between takes the cache away.
      checkOpen();
      yield* choose(rows, result, vocabSize, new Set(stop), sampling);
      if (step + 1 >= limit || rows.done.every((done) => done)) return;
      const positions = Int32Array.from(prompts, (p) => p.length + step);
      const slot = Int32Array.of(prepended + columns + step);
      checkOpen();
      result = await (await decode()).run({ ids: rows.next, positions, slot, mask }, { read });
    }
  }

  async function* stream(
    prompts: readonly Prompt[],
    options: StreamOptions = {},
  ): AsyncGenerator<GeneratedToken, void> {
    checkOpen();
    if (busy)
      throw new PeftError(
        'bad-program',
        'generator: another stream is open on it and they share one cache; finish it, or make a second generator',
      );
    busy = true;
    try {
      yield* tokens(prompts, options);
    } finally {
      busy = false;
    }
  }

  return {
    stream,
    generate: async (prompts, options) => {
      const texts: number[][] = Array.from(prompts, () => []);
      for await (const { row, token } of stream(prompts, options)) texts[row]!.push(token);
      return texts;
    },
    close: async () => {
      closed = true;
      for (const p of programs.values()) await p.close();
      programs.clear();
    },
  };
};
