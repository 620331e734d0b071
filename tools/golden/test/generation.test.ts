import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Files, filesAt } from '@peftjs/io';
import { reference } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { generate, generator, loadModel, streamText } from '@peftjs/transformer';
import { expect, test } from 'vitest';

interface Golden {
  readonly generated: readonly {
    readonly config: object;
    readonly prompt: readonly number[];
    readonly tokens: readonly number[];
  }[];
}

const data = join(import.meta.dirname, '../data');
const golden = JSON.parse(await readFile(join(data, 'io/generation.json'), 'utf8')) as Golden;
const plain = await filesAt(join(data, 'python/models/plain'));

/** The tiny model's folder with a generation config. */
const withConfig = (config: object): Files => {
  const path = 'generation_config.json';
  const bytes = new TextEncoder().encode(JSON.stringify(config));
  return {
    ...plain,
    name: 'with a generation config',
    size: async (at) => (at === path ? bytes.length : plain.size(at)),
    read: async (at, range) => (at === path ? bytes.slice(range?.start, range?.end) : plain.read(at, range)),
    open: (at) => plain.open(at),
    list: (folder) => plain.list(folder),
  };
};

const executor = reference();
const [first] = golden.generated;

test.each(golden.generated)('by $config the tokens are those of transformers', async ({ config, prompt, tokens }) => {
  const model = await loadModel(withConfig(config));
  expect(await generate(model, { executor, prompt })).toEqual(tokens);
});

test('a call has the last word, and null leaves the file out', async () => {
  const model = await loadModel(withConfig({ ...first!.config, guidance_scale: 2 }));
  const { prompt } = first!;
  expect(await messageOf('bad-config', () => generate(model, { executor, prompt }))).toContain('guidance_scale 2');
  const bare = await generate(model, { executor, prompt, config: null, maxTokens: 12 });
  expect(bare).not.toEqual(first!.tokens);
  const penalty = { executor, prompt, config: null, maxTokens: 12, repetitionPenalty: 1.4, stop: [28] };
  expect(await generate(model, penalty)).toEqual(first!.tokens);
});

test('by chance, where the file says so; greedy where a call does', async () => {
  const model = await loadModel(withConfig({ do_sample: true, temperature: 2, max_new_tokens: 8 }));
  const { prompt } = first!;
  const drawn = await generate(model, { executor, prompt });
  expect(await generate(model, { executor, prompt })).toEqual(drawn);
  expect(await generate(model, { executor, prompt, temperature: 0 })).not.toEqual(drawn);
  const asFile = { config: null, temperature: 2, topK: 50, maxTokens: 8 };
  expect(await generate(model, { executor, prompt, ...asFile })).toEqual(drawn);
});

test('processors of a caller, and one that leaves nothing', async () => {
  const model = await loadModel(plain);
  const seen: number[] = [];
  const only = (
    logits: Float32Array,
    { tokens, row, prompt }: { tokens: readonly number[]; row: number; prompt: ArrayLike<number> },
  ) => {
    seen.push(tokens.length + row + prompt.length);
    logits.fill(Number.NEGATIVE_INFINITY);
    logits[3 + tokens.length] = 0;
  };
  expect(await generate(model, { executor, prompt: [1, 2], maxTokens: 3, processors: [only] })).toEqual([3, 4, 5]);
  expect(seen).toEqual([2, 3, 4]);
  const nothing = { executor, prompt: [1, 2], maxTokens: 3, processors: [(l: Float32Array) => l.fill(-Infinity)] };
  expect(await messageOf('bad-option', () => generate(model, nothing as never))).toContain('no token is left');
});

/** One letter for each token, "é" for two tokens of which each is half. */
const letters = {
  encode: (text: string) => Int32Array.from(text, (c) => c.charCodeAt(0) - 97),
  decode: (ids: Iterable<number>) =>
    Array.from(ids, (id) => (id < 26 ? String.fromCharCode(97 + id) : id === 26 ? '<' : '>'))
      .join('')
      .replaceAll('<>', 'é')
      .replaceAll(/[<>]/g, '\ufffd'),
};

test('texts come piece by piece: no half characters, nothing of what ends them', async () => {
  const made = generator(await loadModel(plain), { executor });
  const says = (text: readonly number[]) => ({
    processors: [
      (logits: Float32Array, { tokens }: { tokens: readonly number[] }) => {
        logits.fill(Number.NEGATIVE_INFINITY);
        logits[text[tokens.length]!] = 0;
      },
    ],
    maxTokens: text.length,
  });
  const pieces = async (text: readonly number[], stopTexts: readonly string[] = []) => {
    const all: string[] = [];
    const options = { tokenizer: letters, prompt: 'ab', stopTexts, ...says(text) };
    for await (const piece of streamText(made, options)) all.push(piece);
    return all;
  };
  expect(await pieces([0, 26, 27, 1])).toEqual(['a', 'é', 'b']);
  expect(await pieces([0, 26])).toEqual(['a', '\ufffd']);
  expect(await pieces([0, 1, 2, 3, 4], ['cd', 'xyz'])).toEqual(['a', 'b']);
  expect(await pieces([0, 2, 2, 1], ['cd'])).toEqual(['a', 'c', 'cb']);
  expect(await pieces([0, 2], ['cd'])).toEqual(['a', 'c']);
  const ended = { ...says([0, 1, 2, 3]), stopTexts: ['bc'], tokenizer: letters };
  expect(await made.generate([[5]], ended)).toEqual([[0, 1, 2]]);
  expect(await messageOf('bad-option', () => made.generate([[5]], { stopTexts: ['x'] }))).toContain('tokenizer');
  await made.close();
});
