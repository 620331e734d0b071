type Json = Readonly<Record<string, unknown>>;

const split = (regex: string): Json => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior: 'Isolated',
  invert: false,
});

/** Pieces as letters that stand for bytes; with `useRegex` cut as GPT-2 cuts them. */
export const bytes = (useRegex: boolean): Json => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
});

const digits = (individual: boolean): Json => ({ type: 'Digits', individual_digits: individual });

const words = (numbers: string): string =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

/** How texts are cut before they are merged. */
export interface Cut {
  readonly steps: readonly Json[];
  readonly normalizer?: Json;
  /** Whether a piece that is a token is never merged of parts. */
  readonly ignoreMerges?: boolean;
  /** Whether a text begins with the token for it where the file does not say. Default false. */
  readonly begins?: boolean;
}

const gpt2Cut: Cut = { steps: [bytes(true)] };
const digitsCut: Cut = { steps: [digits(true), bytes(true)] };
const llama3Cut: Cut = { steps: [split(words('\\p{N}{1,3}')), bytes(false)], ignoreMerges: true, begins: true };

/** The names that llama.cpp has for them. https://github.com/ggml-org/llama.cpp (llama-vocab.cpp) */
export const cuts: Readonly<Record<string, Cut>> = {
  'gpt-2': gpt2Cut,
  olmo: gpt2Cut,
  smollm: digitsCut,
  starcoder: digitsCut,
  refact: digitsCut,
  qwen2: { steps: [split(words('\\p{N}')), bytes(false)], normalizer: { type: 'NFC' } },
  'llama-bpe': llama3Cut,
  'llama-v3': llama3Cut,
  llama3: llama3Cut,
};
