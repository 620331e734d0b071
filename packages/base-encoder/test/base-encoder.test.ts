import { statSync } from 'node:fs';
import { join } from 'node:path';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { constant, evaluate } from '@peftjs/tensor';
import { loadModel, maskedLM, meanOf } from '@peftjs/transformer';
import { describe, expect, it } from 'vitest';
import { baseEncoderDir } from '../src/index.ts';

const dir = baseEncoderDir();
const tokenizer = await loadTokenizer(dir);

describe('the tokenizer', () => {
  it('puts [CLS] and [SEP] around a text and between two, and gives any text back', () => {
    const [cls, sep, pad, mask] = [4096, 4097, 4098, 4099];
    const ids = tokenizer.encode('the whale');
    expect([ids[0], ids.at(-1)]).toEqual([cls, sep]);
    expect(tokenizer.padId).toBe(pad);
    expect([...tokenizer.encode('[MASK]', { special: false })]).toEqual([mask]);
    const own = tokenizer.encode('ä whale', { special: false });
    expect(tokenizer.decode(own)).toBe('ä whale');
    const pair = tokenizer.pair(own, own);
    expect([...pair.ids]).toEqual([cls, ...own, sep, ...own, sep]);
  });
});

describe('the shipped model', () => {
  it('is at most 6 MB', () => expect(statSync(join(dir, 'model.safetensors')).size).toBeLessThan(6e6));

  it('fills in hidden tokens by what stands around them', async () => {
    const model = await loadModel(dir, { task: maskedLM() });
    const executor = await cpu();
    const mask = tokenizer.encode('[MASK]', { special: false })[0]!;
    const lossOf = async (before: string, word: string, after: string): Promise<number> => {
      const [left, own, right] = [before, word, after].map((text) => [...tokenizer.encode(text, { special: false })]);
      const [first, last] = [tokenizer.encode('')[0]!, tokenizer.encode('').at(-1)!];
      const ids = [first, ...left!, ...own!.map(() => mask), ...right!, last];
      const labels = ids.map((_, at) => own![at - 1 - left!.length] ?? -100);
      const loss = meanOf(
        model.loss({
          ids: constant(Int32Array.from(ids), [1, ids.length]),
          labels: constant(Int32Array.from(labels), [1, ids.length]),
        }),
      );
      return (await evaluate({ loss }, { executor }))['loss']![0]!;
    };
    const around = ['And the', ' said unto Moses, Speak unto the children of Israel'] as const;
    const [likely, unlikely] = [
      await lossOf(around[0], ' LORD', around[1]),
      await lossOf(around[0], ' tea', around[1]),
    ];
    await executor.close();
    expect(likely).toBeLessThan(unlikely);
  });
});
