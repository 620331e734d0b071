import { byteOfChar, fromUtf8 } from './characters.ts';
import { type Part, replaced, unknownType } from './part.ts';

/** Makes texts of tokens, which are then joined. */
export type Decode = (tokens: readonly string[]) => readonly string[];

const bytes: Decode = (tokens) => {
  const all: number[] = [];
  const encoder = new TextEncoder();
  for (const token of tokens) {
    const own = Array.from(token, (c) => byteOfChar.get(c));
    // A token that is no spelling of bytes stands for itself.
    for (const byte of own.includes(undefined) ? encoder.encode(token) : (own as number[])) all.push(byte);
  }
  return [fromUtf8(Uint8Array.from(all))];
};

const byteFallback: Decode = (tokens) => {
  const out: string[] = [];
  let pending: number[] = [];
  const flush = (): void => {
    if (pending.length > 0) out.push(utf8OrMarks(Uint8Array.from(pending)));
    pending = [];
  };
  for (const token of tokens) {
    const hex = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
    if (hex !== undefined) pending.push(Number.parseInt(hex, 16));
    else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
};

/** Bytes that are no UTF-8 are one mark each. */
const utf8OrMarks = (own: Uint8Array): string => {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(own);
  } catch {
    return '\ufffd'.repeat(own.length);
  }
};

const tidied = (text: string): string =>
  text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(' do not', " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");

const wordPiece = (part: Part): Decode => {
  const [prefix, cleans] = [part.text('prefix', '##'), part.flag('cleanup', true)];
  const joined = (token: string): string => (token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`);
  return (tokens) =>
    tokens.map((token, i) => (i === 0 ? token : joined(token))).map((text) => (cleans ? tidied(text) : text));
};

const metaspace = (part: Part): Decode => {
  const mark = part.text('replacement', '▁');
  const scheme = part.text('prepend_scheme', part.flag('add_prefix_space', true) ? 'always' : 'never');
  return (tokens) => tokens.map((token, i) => token.replaceAll(mark, i === 0 && scheme !== 'never' ? '' : ' '));
};

const ctc = (part: Part): Decode => {
  const [pad, delimiter] = [part.text('pad_token', '<pad>'), part.text('word_delimiter_token', '|')];
  const cleans = part.flag('cleanup', true);
  return (tokens) =>
    tokens
      .filter((token, i) => token !== tokens[i - 1])
      .map((token) => token.replaceAll(pad, ''))
      .map((text) => (cleans ? tidied(text).replaceAll(delimiter, ' ') : text));
};

const strip = (part: Part): Decode => {
  const [content, start, stop] = [part.text('content', ' '), part.count('start', 0), part.count('stop', 0)];
  return (tokens) =>
    tokens.map((token) => {
      const chars = [...token];
      let [from, to] = [0, chars.length];
      while (from < start && chars[from] === content) from++;
      while (chars.length - to < stop && to > 0 && chars[to - 1] === content) to--;
      return chars.slice(from, Math.max(from, to)).join('');
    });
};

const makers: Readonly<Record<string, (part: Part) => Decode>> = {
  BPEDecoder: (part) => {
    const suffix = part.text('suffix', '</w>');
    return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? '' : ' '));
  },
  ByteFallback: () => byteFallback,
  ByteLevel: () => bytes,
  CTC: ctc,
  Fuse: () => (tokens) => [tokens.join('')],
  Metaspace: metaspace,
  Replace: (part) => {
    const [find, content] = [part.finder(), part.text('content')];
    return (tokens) => tokens.map((token) => replaced(token, find, content));
  },
  Sequence: (part) => {
    const all = part.parts('decoders').map(decoder);
    return (tokens) => all.reduce((out, decode) => decode(out), tokens);
  },
  Strip: strip,
  WordPiece: wordPiece,
};

/**
 * The decoder that a part of `tokenizer.json` describes. Throws `PeftError` `bad-tokenizer`.
 *
 * Source: huggingface/tokenizers, `decoders/*.rs`, https://github.com/huggingface/tokenizers.
 */
export const decoder = (part: Part): Decode => {
  const make = Object.hasOwn(makers, part.type) ? makers[part.type] : undefined;
  return make ? make(part) : unknownType(part, makers);
};
