/** The 256 characters that stand for bytes in a byte-level vocabulary (Radford and others, 2019). */
const byteCharacters = (): string[] => {
  const shownJson = (b: number): boolean => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(shownJson(b) ? b : next++));
};

const merges = [
  ['h', 'e'],
  ['l', 'l'],
  ['he', 'll'],
  ['hell', 'o'],
  ['Ġ', 'w'],
  ['Ġw', 'o'],
];

/** A `tokenizer.json` in GPT-2's manner: 256 bytes, six merges, a token that ends a text and one that pads. */
export const byteLevel = (): Record<string, unknown> & {
  model: Record<string, unknown>;
  added_tokens: Record<string, unknown>[];
} => {
  const tokens = [...byteCharacters(), ...merges.map((pair) => pair.join(''))];
  const special = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return {
    version: '1.0',
    added_tokens: [
      { id: tokens.length, content: '<|end|>', ...special },
      { id: tokens.length + 1, content: '<|pad|>', ...special },
    ],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<|end|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<|end|>': { id: '<|end|>', ids: [tokens.length], tokens: ['<|end|>'] } },
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
};
