import { statSync } from 'node:fs';
import { join } from 'node:path';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { constant, evaluate } from '@peftjs/tensor';
import { loadModel, meanOf, seq2seqLM } from '@peftjs/transformer';
import { describe, expect, it } from 'vitest';
import { baseSeq2seqDir } from '../src/index.ts';

const dir = baseSeq2seqDir();
const tokenizer = await loadTokenizer(dir);
const [end, pad, first] = [4096, 4097, 4098];

describe('the tokenizer', () => {
  it('puts </s> behind a text, knows what stands for hidden spans, and gives any text back', () => {
    const ids = tokenizer.encode('the whale');
    expect(ids.at(-1)).toBe(end);
    expect([tokenizer.eosId, tokenizer.padId]).toEqual([end, pad]);
    expect([...tokenizer.encode('<extra_id_0><extra_id_31>', { special: false })]).toEqual([first, first + 31]);
    const own = tokenizer.encode('ä whale', { special: false });
    expect(tokenizer.decode(own)).toBe('ä whale');
  });
});

describe('the shipped model', () => {
  it('is at most 6 MB', () => expect(statSync(join(dir, 'model.safetensors')).size).toBeLessThan(6e6));

  it('fills in hidden spans by what stands around them', async () => {
    const model = await loadModel(dir, { task: seq2seqLM() });
    const executor = await cpu();
    const around = 'And the<extra_id_0> said unto Moses, Speak unto the children of Israel';
    const ids = tokenizer.encode(around);
    const lossOf = async (word: string): Promise<number> => {
      const own = tokenizer.encode(word, { special: false });
      const labels = [first, ...own, end];
      const loss = meanOf(
        model.loss({
          ids: constant(ids, [1, ids.length]),
          decoderIds: constant(Int32Array.of(pad, ...labels.slice(0, -1)), [1, labels.length]),
          labels: constant(Int32Array.of(-100, ...own, -100), [1, labels.length]),
        }),
      );
      return (await evaluate({ loss }, { executor }))['loss']![0]!;
    };
    const [likely, unlikely] = [await lossOf(' LORD'), await lossOf(' tea')];
    await executor.close();
    expect(likely).toBeLessThan(unlikely);
  });
});
