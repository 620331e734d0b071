import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildTokenizer } from '../src/tokenizer/build.ts';
import { decodeStream } from '../src/tokenizer/decode-stream.ts';

const golden = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../../tools/golden/data/io/chat.json'), 'utf8'),
) as { readonly tokenizers: Readonly<Record<string, Record<string, unknown>>> };

const text = 'Où est la baleine 🐋👩‍👩‍👧? <|im_end|> naïve  日本語\n\n\u0301 end';

test.each(Object.entries(golden.tokenizers))(
  '%s: pieces joined are the text, none ends within a character',
  (_, json) => {
    const tokenizer = buildTokenizer(json);
    const ids = tokenizer.encode(text, { special: false });
    for (const skipSpecial of [false, true]) {
      const stream = decodeStream(tokenizer, { skipSpecial });
      const pieces = Array.from(ids, (id) => stream.push(id));
      expect(pieces.join('') + stream.end()).toBe(tokenizer.decode(ids, { skipSpecial }));
      expect(pieces.join('')).not.toContain('\ufffd');
      // Bytes of one character are tokens of their own: some pieces wait.
      expect(pieces.filter((piece) => piece === '').length).toBeGreaterThan(3);
    }
  },
);

test('what is cut off within a character ends with the mark of what is none', () => {
  const tokenizer = buildTokenizer(golden.tokenizers['bytes']!);
  const ids = tokenizer.encode('a🐋', { special: false });
  const stream = decodeStream(tokenizer);
  const pieces = Array.from(ids.slice(0, -1), (id) => stream.push(id));
  expect(pieces.join('')).toBe('a');
  expect(stream.end()).toBe('\ufffd');
});
