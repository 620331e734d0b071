import { fromUtf8 } from './characters.ts';

/** The charsmap's replacement for the first characters of a text, in UTF-8; undefined where it has none. */
type Lookup = (bytes: Uint8Array) => string | undefined;

type Fail = (problem: string) => never;

const labelBits = 0x8000_00ff;

/**
 * A charsmap: the bytes of a trie, the trie (a double array of 32-bit units), and texts that end with a zero byte.
 *
 * Source: google/sentencepiece, `normalizer.cc`; Yata, darts-clone, `darts.h`, https://github.com/s-yata/darts-clone.
 */
const lookupOf = (map: Uint8Array, fail: Fail): Lookup => {
  const view = new DataView(map.buffer, map.byteOffset, map.byteLength);
  const trieBytes = map.length >= 4 ? view.getUint32(0, true) : -1;
  if (trieBytes < 0 || trieBytes % 4 !== 0 || 4 + trieBytes > map.length) fail('precompiled_charsmap is cut off');
  const units = trieBytes / 4;
  const texts = map.subarray(4 + trieBytes);
  const unit = (at: number): number => (at < units ? view.getUint32(4 + 4 * at, true) : 0);
  const offset = (u: number): number => ((u >>> 10) << ((u & 0x200) >>> 6)) >>> 0;
  return (bytes) => {
    let at = offset(unit(0));
    for (const byte of bytes) {
      if (byte === 0) return undefined;
      at = (at ^ byte) >>> 0;
      const own = unit(at);
      if ((own & labelBits) !== byte) return undefined;
      at = (at ^ offset(own)) >>> 0;
      if ((own >>> 8) & 1) {
        const start = unit(at) & 0x7fff_ffff;
        const end = texts.indexOf(0, start);
        return fromUtf8(texts.subarray(start, end < 0 ? undefined : end));
      }
    }
    return undefined;
  };
};

const decoded = (base64: string, fail: Fail): Uint8Array => {
  try {
    return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  } catch {
    return fail('precompiled_charsmap is not base64');
  }
};

/**
 * Replaces characters, and short clusters of them, as the rules that SentencePiece compiled say. What is wrong with them goes to `fail`.
 *
 * Source: huggingface/tokenizers, `normalizers/precompiled.rs`.
 */
export const precompiled = (base64: string, fail: Fail): ((text: string) => string) => {
  if (base64 === '') return (text) => text;
  const lookup = lookupOf(decoded(base64, fail), fail);
  const encoder = new TextEncoder();
  const clusters = new Intl.Segmenter('en', { granularity: 'grapheme' });
  return (text) => {
    let out = '';
    for (const { segment } of clusters.segment(text)) {
      const bytes = encoder.encode(segment);
      const whole = bytes.length < 6 ? lookup(bytes) : undefined;
      if (whole !== undefined) out += whole;
      else for (const c of segment) out += lookup(encoder.encode(c)) ?? c;
    }
    return out;
  };
};
