import {
  checkOptions,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type Rules,
  randomSource,
  type Tensor,
} from '@peftjs/tensor';
import type { GenerationConfig } from '../config/generation.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { TaskModel } from '../task-model.ts';
import type { Choice, GeneratedToken, Passes } from './choice.ts';
import { oneByOne } from './one-by-one.ts';
import { processorsOf } from './processors.ts';
import { makePrograms, type Programs } from './programs.ts';
import { bucket, type Prompt } from './prompts.ts';
import { readingOf } from './reading.ts';
import { configBeside, type Settings, settingsOf } from './settings.ts';
import { endedBy, type StreamOptions, streamRules } from './stream-options.ts';

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
   * Tokens per sequence, prompt and continuation together, or what a decoder beside an encoder writes with its first token; the cache is as long.
   * Default: the config's `maxPositions`, less the rows that methods put in front where positions are learned; 512 where these have no limit.
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

/** The default context of models whose positions have no limit: as many tokens as T5 was pretrained with. */
const unlimited = 512;

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
      `generate: a text begins with ${longest} tokens, and max_length ${maxLength} of generation_config.json leaves none to add; say maxTokens`,
    );
  return Math.max(1, Math.min(context, maxLength) - longest);
};

/** Beams follow the likeliest. Throws `bad-option` where tokens are to be drawn. */
const checkBeams = ({ beams = 1, temperature = 0 }: StreamOptions): void => {
  if (beams > 1 && temperature > 0)
    throw new PeftError(
      'bad-option',
      `generate: beams ${beams} follow the likeliest continuations, and temperature ${temperature} draws tokens; say beams: 1 or temperature: 0`,
    );
};

/** The token that a text begins with before the new ones; null where that is the prompt's own. Throws `bad-option` for one that is not there. */
const startOf = (
  starts: boolean,
  { startToken }: StreamOptions,
  { startId }: Settings,
  { vocabSize, modelType }: ModelConfig,
): number | null => {
  if (!starts && startToken !== undefined)
    throw new PeftError(
      'bad-option',
      `generate: ${modelType} has no encoder, so its texts begin as the prompts do; leave out startToken`,
    );
  const start = starts ? (startToken ?? startId) : null;
  if (start !== null && start >= vocabSize)
    throw new PeftError(
      'bad-option',
      `generate: startToken ${start} is not within the vocabulary, 0 to ${vocabSize - 1}`,
    );
  return start;
};

/**
 * Makes a generator of a decoder, or of an encoder-decoder (with the task `seq2seqLM`), whose encoder reads each prompt once. Prompts of a batch may
 * differ in length; each row's tokens are those that its prompt alone gives, up to rounding. With beams tokens come when the search is over.
 * Programs are compiled when first needed: one per batch size and beams, and one per batch size and 32 tokens of prompt length.
 * Throws `bad-option` for a context that the model does not have; its streams throw `bad-config` for a generation config that asks for what is not
 * computed here.
 */
export const generator = (model: TaskModel<Tensor>, options: GeneratorOptions): TextGenerator => {
  const reading = readingOf('generator', model);
  checkOptions('generator', rules, options);
  const { vocabSize } = model.config;
  let known: Promise<Settings> | undefined;
  /** Read once, when a stream first needs them. */
  const settings = (): Promise<Settings> => {
    known ??= (async () =>
      settingsOf(options.config === undefined ? await configBeside(model) : options.config, model.config))();
    // What failed is tried again next time.
    known.catch(() => (known = undefined));
    return known;
  };
  const room = reading.context;
  const { executor, context = Number.isFinite(room) ? room : unlimited } = options;
  checkContext(context, room);
  const slots = context + bucket - 1;
  const programs = new Map<string, Programs>();
  const programsFor = (batch: number, each: number): Programs => {
    const sizes = `${batch} ${each}`;
    const known =
      programs.get(sizes) ?? makePrograms(reading, { executor, batch, each, slots, positionLimit: context });
    programs.set(sizes, known);
    return known;
  };
  let busy = false;
  let closed = false;
  const checkOpen = (): void => {
    if (closed) throw new PeftError('bad-program', 'generator: it is closed; make a new one');
  };

  const passesOf = (prompts: readonly Prompt[], texts: readonly Prompt[], each: number): Passes => {
    const { prefill, decode } = programsFor(prompts.length, each);
    const { columns, feeds, next } = reading.begin(prompts, texts, { context, slots, each });
    return {
      first: async (read) => (await prefill(columns)).run(feeds, { read }),
      // Whoever closes it in between takes the cache away.
      next: async (step, ids, read, source) => {
        checkOpen();
        const program = await decode(columns);
        checkOpen();
        return program.run({ ...next(step), [reading.ids]: ids, ...(source && { source }) }, { read });
      },
    };
  };

  async function* tokens(prompts: readonly Prompt[], options: StreamOptions): AsyncGenerator<GeneratedToken, void> {
    checkOptions('generate', streamRules, options);
    const said = await settings();
    const { defaults, maxLength, minLength } = said;
    const all = { ...defaults, ...options };
    checkBeams(all);
    const { stop: stopIds, seed = 0, beams = 1, lengthPenalty = 1, earlyStopping = false } = all;
    const texts = reading.textsOf(prompts, startOf(reading.starts, options, said, model.config));
    const longest = Math.max(0, ...texts.map((p) => p.length));
    const limit = all.maxTokens ?? roomAfter(longest, context, maxLength);
    reading.check(prompts, limit, context);
    const stop = new Set(stopIds);
    const processors = processorsOf({ ...all, minLength }, stop, limit);
    const choice: Choice = { vocabSize, texts, limit, stop, processors, isEnded: endedBy(all) };
    const passes = passesOf(prompts, texts, beams);
    if (beams > 1) {
      const { beamSearch } = await import('./beam-search.ts');
      const found = await beamSearch(passes, choice, { beams, lengthPenalty, earlyStopping });
      for (const [row, own] of found.entries()) for (const token of own) yield { row, token };
      return;
    }
    const random = prompts.map((_, row) => randomSource(seed + row, 'generate'));
    for await (const token of oneByOne(passes, choice, all, random)) {
      checkOpen();
      yield token;
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
