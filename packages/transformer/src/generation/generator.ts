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
import type { GenerationConfig } from '../config/generation.ts';
import { requireModel } from '../require-model.ts';
import type { CausalLM } from '../task-model.ts';
import { type LogitsProcessor, type ProcessOptions, processorsOf, processRules } from './processors.ts';
import { makePrograms, type Programs } from './programs.ts';
import { bucket, checkPrompts, type Prompt, padPrompts, slotMask } from './prompts.ts';
import { roomOf } from './room.ts';
import { checkFinite, checkLogits, drawToken, type SampleOptions, sampleRules } from './sample.ts';
import { configBeside, type Settings, settingsOf } from './settings.ts';

/** How a continuation is made. What is left out is as the model's `generation_config.json` says, and else the default. */
export interface StreamOptions extends SampleOptions, ProcessOptions {
  /** New tokens per prompt, at most. Default: as many as the context has room for after the longest prompt. */
  readonly maxTokens?: number;
  /** Any of these ends a row; it is not given out. Default: the config's end-of-text tokens. */
  readonly stop?: readonly number[];
  /** Any of these texts ends a row, after the token that completes it. They need `tokenizer`. */
  readonly stopTexts?: readonly string[];
  /** Makes texts of tokens, for `stopTexts`. */
  readonly tokenizer?: { decode(ids: readonly number[]): string };
  /** Row i draws from a stream of seed + i, so it gives what its prompt alone gives with that seed. Default 0. */
  readonly seed?: number;
}

/** The rules of its options. */
export const streamRules: Rules<StreamOptions> = {
  maxTokens: mustBe.count,
  stop: mustBe.such('a list of token ids', (v) => Array.isArray(v) || ArrayBuffer.isView(v)),
  stopTexts: mustBe.such(
    'a list of texts, none of them empty',
    (v) => Array.isArray(v) && v.every((one) => typeof one === 'string' && one !== ''),
  ),
  tokenizer: mustBe.object,
  seed: mustBe.whole,
  ...sampleRules,
  ...processRules,
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
  /**
   * How the model's authors generate, which holds where a call says nothing else; null is nothing, so greedy. Default: `generation_config.json` of
   * the folder that the model was loaded from.
   */
  readonly config?: GenerationConfig | null;
}

const rules: Rules<GeneratorOptions> = {
  ...onExecutor,
  context: mustBe.number,
  config: mustBe.such('what loadGenerationConfig gives, or null', (v) => typeof v === 'object'),
};

/** The rows of a stream. */
interface Rows {
  readonly prompts: readonly Prompt[];
  readonly random: readonly Random[];
  readonly next: Int32Array;
  readonly done: boolean[];
  /** The new tokens of each. */
  readonly tokens: readonly number[][];
}

/** How a stream chooses and ends. */
interface Choice {
  readonly vocabSize: number;
  readonly stop: ReadonlySet<number>;
  readonly sampling: SampleOptions;
  readonly processors: readonly LogitsProcessor[];
  /** Whether a row's new tokens end it. */
  readonly isEnded: (tokens: readonly number[]) => boolean;
}

/** Whether a text that ends a row is complete: it stands where the last token has brought something new. */
const endedBy = ({ stopTexts = [], tokenizer }: StreamOptions): Choice['isEnded'] => {
  if (stopTexts.length === 0) return () => false;
  if (typeof tokenizer?.decode !== 'function')
    throw new PeftError(
      'bad-option',
      `generate: stopTexts ${JSON.stringify(stopTexts).slice(0, 100)} need a tokenizer; give { tokenizer }`,
    );
  return (tokens) => {
    const text = tokenizer.decode(tokens);
    return stopTexts.some((stop) => text.includes(stop));
  };
};

/** Chooses each open row's next token; closes rows that chose a stop token or completed a stop text. */
function* choose(
  rows: Rows,
  result: Readonly<Record<string, TypedArray>>,
  { vocabSize, stop, sampling, processors, isEnded }: Choice,
): Generator<GeneratedToken> {
  const { likeliest, logits, total } = result;
  if (total) checkFinite(total[0]!);
  const chosen = (row: number): number => {
    if (!logits) return likeliest![row]!;
    const own = (logits as Float32Array).slice(row * vocabSize, (row + 1) * vocabSize);
    checkLogits(own);
    for (const process of processors) process(own, { row, prompt: rows.prompts[row]!, tokens: rows.tokens[row]! });
    return drawToken(own, sampling, rows.random[row]!);
  };
  for (const row of rows.done.keys()) {
    if (rows.done[row]) continue;
    const token = chosen(row);
    rows.next[row] = token;
    rows.done[row] = stop.has(token);
    if (rows.done[row]) continue;
    rows.tokens[row]!.push(token);
    rows.done[row] = isEnded(rows.tokens[row]!);
    yield { row, token };
  }
}

const checkContext = (context: number, room: number): void => {
  if (!Number.isInteger(context) || context < 2 || context > room)
    throw new PeftError(
      'bad-option',
      `generator: context must be a whole number from 2 to the model's ${room}, got ${context}`,
    );
};

/** New tokens that a context has room for, or the length that a generation config allows. Throws `bad-data` where that is none. */
const roomAfter = (longest: number, context: number, maxLength = Number.POSITIVE_INFINITY): number => {
  if (longest >= maxLength)
    throw new PeftError(
      'bad-data',
      `generate: a prompt has ${longest} tokens, and max_length ${maxLength} of generation_config.json leaves none to add; say maxTokens`,
    );
  return Math.max(1, Math.min(context, maxLength) - longest);
};

/**
 * Makes a generator. Prompts of a batch may differ in length; each row's tokens are those that its prompt alone gives, up to rounding.
 * Programs are compiled when first needed: one per batch size, and one per batch size and 32 tokens of prompt length.
 * Throws `bad-option` for a context that the model does not have; its streams throw `bad-config` for a generation config that asks for what is not
 * computed here.
 */
export const generator = (model: CausalLM, options: GeneratorOptions): TextGenerator => {
  requireModel('generator', model, 'logits');
  checkOptions('generator', rules, options);
  const { vocabSize, eosIds } = model.config;
  let known: Promise<Settings> | undefined;
  /** Read once, when a stream first needs them. */
  const settings = (): Promise<Settings> => {
    known ??= (async () =>
      settingsOf(options.config === undefined ? await configBeside(model) : options.config, eosIds))();
    // What failed is tried again next time.
    known.catch(() => (known = undefined));
    return known;
  };
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
    const { defaults, maxLength } = await settings();
    const all = { ...defaults, ...options };
    const { stop: stopIds, seed = 0 } = all;
    const longest = Math.max(0, ...prompts.map((p) => p.length));
    const limit = all.maxTokens ?? roomAfter(longest, context, maxLength);
    checkPrompts(prompts, limit, context, model.config);
    const batch = prompts.length;
    const { prefill, decode } = programsFor(batch);
    const stop = new Set(stopIds);
    const processors = processorsOf(all, stop);
    const choice: Choice = { vocabSize, stop, sampling: all, processors, isEnded: endedBy(all) };
    const read = all.temperature || processors.length > 0 ? ['logits'] : ['likeliest', 'total'];
    const rows: Rows = {
      prompts,
      random: prompts.map((_, row) => randomSource(seed + row, 'generate')),
      next: new Int32Array(batch),
      done: prompts.map(() => false),
      tokens: prompts.map(() => []),
    };
    const { tokens: columns, ...feeds } = padPrompts(prompts, context);
    const mask = slotMask({ tokens: columns, ...feeds }, batch, slots);
    let result = await (await prefill(columns)).run({ ...feeds }, { read });
    for (let step = 0; ; step++) {
      // Whoever closes it in between takes the cache away.
      checkOpen();
      yield* choose(rows, result, choice);
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
