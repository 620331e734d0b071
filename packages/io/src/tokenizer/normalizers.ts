import { byteLevel, lowered, trimmed, whitespace } from './characters.ts';
import { type Part, replaced, unknownType } from './part.ts';
import { precompiled } from './precompiled.ts';

/** Changes a text before it is split. */
export type Normalize = (text: string) => string;

const withoutMarks: Normalize = (text) => text.replace(/\p{Mn}/gu, '');

const isControl = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/u;

const cleaned: Normalize = (text) =>
  Array.from(text, (c) => {
    if (whitespace.test(c) && (/[\t\n\r]/.test(c) || !isControl.test(c))) return ' ';
    return c === '\0' || c === '\ufffd' || isControl.test(c) ? '' : c;
  }).join('');

const spacedChinese: Normalize = (text) =>
  text.replace(
    /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu,
    ' $& ',
  );

const bert = (part: Part): Normalize => {
  const lowercase = part.flag('lowercase', true);
  const [clean, chinese, strip] = [
    part.flag('clean_text', true),
    part.flag('handle_chinese_chars', true),
    part.flag('strip_accents', lowercase),
  ];
  return (text) => {
    let out = clean ? cleaned(text) : text;
    if (chinese) out = spacedChinese(out);
    if (strip) out = withoutMarks(out.normalize('NFD'));
    return lowercase ? lowered(out) : out;
  };
};

const nmt: Normalize = (text) =>
  text
    .replace(/[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/g, '')
    .replace(/[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g, ' ');

const form =
  (name: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'): ((part: Part) => Normalize) =>
  () =>
  (text) =>
    text.normalize(name);

const makers: Readonly<Record<string, (part: Part) => Normalize>> = {
  BertNormalizer: bert,
  ByteLevel: () => byteLevel,
  Lowercase: () => lowered,
  NFC: form('NFC'),
  NFD: form('NFD'),
  NFKC: form('NFKC'),
  NFKD: form('NFKD'),
  Nmt: () => nmt,
  Precompiled: (part) => precompiled(part.text('precompiled_charsmap', ''), part.fail),
  Prepend: (part) => {
    const prefix = part.text('prepend');
    return (text) => (text === '' ? text : prefix + text);
  },
  Replace: (part) => {
    const [find, by] = [part.finder(), part.text('content')];
    return (text) => replaced(text, find, by);
  },
  Sequence: (part) => {
    const all = part.parts('normalizers').map(normalizer);
    return (text) => all.reduce((out, normalize) => normalize(out), text);
  },
  Strip: (part) => {
    const [left, right] = [part.flag('strip_left', true), part.flag('strip_right', true)];
    return (text) => trimmed(text, left, right);
  },
  StripAccents: () => withoutMarks,
};

/**
 * The normalizer that a part of `tokenizer.json` describes. Throws `PeftError` `bad-tokenizer`.
 *
 * Source: huggingface/tokenizers, `normalizers/*.rs`, https://github.com/huggingface/tokenizers.
 */
export const normalizer = (part: Part): Normalize => {
  const make = Object.hasOwn(makers, part.type) ? makers[part.type] : undefined;
  return make ? make(part) : unknownType(part, makers);
};
