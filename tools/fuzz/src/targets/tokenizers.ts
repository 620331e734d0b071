import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadTokenizer, memoryFiles } from '@peftjs/io';
import { isPeftError } from '@peftjs/tensor';
import { goldens } from '../folder.ts';
import type { FileMap } from '../mutate-files.ts';
import type { Target } from '../target.ts';

const texts = [
  '',
  ' Hello, world!  <s>cat</s>\n',
  'naïve 👩‍👩‍👧 日本語 12345 ▁Ġ\u0000\ufeff',
  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab'.repeat(20),
];

interface Golden {
  readonly models: Readonly<Record<string, unknown>>;
  readonly tokenizers: Readonly<Record<string, { readonly model: string; readonly parts: object }>>;
}

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

const config = {
  bos_token: '<s>',
  eos_token: { content: '</s>' },
  additional_special_tokens: ['<a>'],
  added_tokens_decoder: { 2000: { content: '[PAD]', special: true } },
};

/** Tokenizers: texts are encoded and decoded by those that load. */
export const tokenizers: Target = {
  name: 'tokenizers',
  seeds: async () => {
    const golden: Golden = JSON.parse(await readFile(join(goldens, 'io/tokenizers.json'), 'utf8'));
    return Object.values(golden.tokenizers).map(
      ({ model, parts }, i): FileMap =>
        new Map([
          ['tokenizer.json', json({ version: '1.0', ...parts, model: golden.models[model] })],
          ...(i % 2 ? [] : [['tokenizer_config.json', json(config)] as const]),
        ]),
    );
  },
  run: async (input) => {
    const tokenizer = await loadTokenizer(memoryFiles(input));
    for (const text of texts)
      try {
        const ids = tokenizer.encode(text);
        if (!ids.every((id) => id >= 0 && id < tokenizer.vocabSize)) throw new Error('an id beyond the vocabulary');
        tokenizer.decode(ids);
        tokenizer.decode(ids, { skipSpecial: true });
      } catch (error) {
        // A text that can't be spelt does not keep the next from being tried.
        if (!isPeftError(error)) throw error;
      }
    tokenizer.decode([0, 1, 2, 5000, tokenizer.vocabSize]);
  },
};
