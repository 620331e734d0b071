import { mustBe, PeftError, type Rules } from '@peftjs/tensor';

/** A continuation so far. */
export interface ContinuationSoFar {
  /** Of which prompt. */
  readonly row: number;
  readonly prompt: ArrayLike<number>;
  /** The new tokens. */
  readonly tokens: readonly number[];
}

/** Changes the logits of the next token [vocabSize] in place; −Infinity forbids a token. */
export type LogitsProcessor = (logits: Float32Array, soFar: ContinuationSoFar) => void;

/** How logits are changed before a token is chosen, greedily or by chance. */
export interface ProcessOptions {
  /** Logits of tokens in prompt and continuation are divided by it where above 0, else multiplied. Default 1. Keskar et al., 2019. https://arxiv.org/abs/1909.05858 */
  readonly repetitionPenalty?: number;
  /** Taken from the logits of tokens that the continuation has. Default 0. As of OpenAI's API, https://platform.openai.com/docs/api-reference. */
  readonly presencePenalty?: number;
  /** Taken from the logits of tokens as often as the continuation has them. Default 0. */
  readonly frequencyPenalty?: number;
  /** No run of so many tokens occurs twice in prompt and continuation; 0 is no such rule. Default 0. Paulus et al., 2017. https://arxiv.org/abs/1705.04304 */
  readonly noRepeatNgram?: number;
  /** Runs of tokens that are never made. */
  readonly badWords?: readonly (readonly number[])[];
  /** New tokens that come before one that ends the text may. Default 0. */
  readonly minTokens?: number;
  /** The first token of a text that a decoder beside an encoder writes, such as that of a language (`forced_bos_token_id`). */
  readonly firstToken?: number;
  /** Where a text reaches `maxTokens`, its last token is one of these (`forced_eos_token_id`). Default none: it may be any. */
  readonly lastTokens?: readonly number[];
  /** Further changes, in their order, after those above. */
  readonly processors?: readonly LogitsProcessor[];
}

const isRun = (run: unknown): boolean =>
  Array.isArray(run) && run.length > 0 && run.every((id) => Number.isSafeInteger(id) && id >= 0);

/** The rules of its options. */
export const processRules: Rules<ProcessOptions> = {
  repetitionPenalty: mustBe.positive,
  presencePenalty: mustBe.number,
  frequencyPenalty: mustBe.number,
  noRepeatNgram: mustBe.whole,
  badWords: mustBe.such('lists of token ids, none of them empty', (v) => Array.isArray(v) && v.every(isRun)),
  minTokens: mustBe.whole,
  firstToken: mustBe.whole,
  lastTokens: mustBe.such('a list of token ids, not empty', isRun),
  processors: mustBe.such(
    'a list of functions',
    (v) => Array.isArray(v) && v.every((one) => typeof one === 'function'),
  ),
};

const forbid = (logits: Float32Array, id: number): void => {
  if (id < logits.length) logits[id] = Number.NEGATIVE_INFINITY;
};

const repetition =
  (penalty: number): LogitsProcessor =>
  (logits, { prompt, tokens }) => {
    for (const id of new Set([...Array.from(prompt), ...tokens]))
      if (id < logits.length) logits[id] = logits[id]! < 0 ? logits[id]! * penalty : logits[id]! / penalty;
  };

const counted =
  (presence: number, frequency: number): LogitsProcessor =>
  (logits, { tokens }) => {
    for (const id of new Set(tokens)) logits[id]! -= presence;
    for (const id of tokens) logits[id]! -= frequency;
  };

/** Whether a list has a run at a place. */
const hasAt = (all: ArrayLike<number>, at: number, run: ArrayLike<number>, length: number): boolean => {
  for (let i = 0; i < length; i++) if (all[at + i] !== run[i]) return false;
  return true;
};

const noRepeat =
  (size: number): LogitsProcessor =>
  (logits, { prompt, tokens }) => {
    const all = [...Array.from(prompt), ...tokens];
    const own = all.slice(all.length + 1 - size);
    const last = all.length - size;
    for (let at = 0; at <= last; at++) if (hasAt(all, at, own, size - 1)) forbid(logits, all[at + size - 1]!);
  };

const noBadWords =
  (words: readonly (readonly number[])[]): LogitsProcessor =>
  (logits, { prompt, tokens }) => {
    const all = [...Array.from(prompt), ...tokens];
    for (const word of words) {
      const at = all.length - (word.length - 1);
      if (at >= 0 && hasAt(all, at, word, word.length - 1)) forbid(logits, word.at(-1)!);
    }
  };

const notYet =
  (least: number, stop: ReadonlySet<number>): LogitsProcessor =>
  (logits, { tokens }) => {
    if (tokens.length < least) for (const id of stop) forbid(logits, id);
  };

const tooShort =
  (least: number, stop: ReadonlySet<number>): LogitsProcessor =>
  (logits, { prompt, tokens }) => {
    if (prompt.length + tokens.length < least) for (const id of stop) forbid(logits, id);
  };

/** One of some tokens, all equally likely, where the text is so far. */
const forced =
  (ids: readonly number[], isThere: (prompt: number, tokens: number) => boolean): LogitsProcessor =>
  (logits, { prompt, tokens }) => {
    if (!isThere(prompt.length, tokens.length)) return;
    const foreign = ids.find((id) => id >= logits.length);
    if (foreign !== undefined)
      throw new PeftError(
        'bad-option',
        `generate: token ${foreign} is to come, the vocabulary is 0 to ${logits.length - 1}`,
      );
    logits.fill(Number.NEGATIVE_INFINITY);
    for (const id of ids) logits[id] = 0;
  };

/** Options, and the demands of a generation config. */
export interface Processing extends ProcessOptions {
  /** Tokens of a text, its beginning and the new ones, before one that ends it may come. */
  readonly minLength?: number;
}

/**
 * The changes that options ask for, in the order of transformers (`generation/utils.py`, `_get_logits_processor`); `stop` are the tokens that end
 * a text, `limit` the new tokens that it may have.
 */
export const processorsOf = (
  options: Processing,
  stop: ReadonlySet<number>,
  limit: number = Number.POSITIVE_INFINITY,
): readonly LogitsProcessor[] => {
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = options;
  const {
    noRepeatNgram = 0,
    badWords = [],
    minTokens = 0,
    minLength = 0,
    firstToken,
    lastTokens,
    processors = [],
  } = options;
  return [
    ...(repetitionPenalty !== 1 ? [repetition(repetitionPenalty)] : []),
    ...(presencePenalty !== 0 || frequencyPenalty !== 0 ? [counted(presencePenalty, frequencyPenalty)] : []),
    ...(noRepeatNgram > 0 ? [noRepeat(noRepeatNgram)] : []),
    ...(badWords.length > 0 ? [noBadWords(badWords)] : []),
    ...(minLength > 0 ? [tooShort(minLength, stop)] : []),
    ...(minTokens > 0 ? [notYet(minTokens, stop)] : []),
    ...(firstToken !== undefined ? [forced([firstToken], (prompt, tokens) => prompt + tokens === 1)] : []),
    ...(lastTokens ? [forced(lastTokens, (_, tokens) => tokens === limit - 1)] : []),
    ...processors,
  ];
};
