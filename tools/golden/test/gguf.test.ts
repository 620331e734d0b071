import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { attach, summary } from '@peftjs/core';
import { ggufFolder, loadGguf } from '@peftjs/gguf';
import { loadTokenizer, openSafetensors } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { constant, evaluate, reference } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';

const folder = join(import.meta.dirname, '../data/gguf');
const names = readdirSync(folder).flatMap((file) => (file.endsWith('.gguf') ? [file.slice(0, -5)] : []));

describe.each(names)('%s', (name) => {
  const file = join(folder, `${name}.gguf`);
  const open = () => openSafetensors(join(folder, `${name}.safetensors`));

  test.each([
    ['reference', async () => reference()],
    ['cpu', () => cpu({ threads: 1 })],
  ] as const)("gives transformers' logits on %s", async (_, make) => {
    const golden = await open();
    const [rows, columns] = golden.tensors.get('ids')!.shape as [number, number];
    const ids = constant(Int32Array.from(await golden.readFloat32('ids')), [rows, columns], 'i32');
    const model = await loadGguf(file);
    const executor = await make();
    const { logits } = (await evaluate({ logits: model.logits(ids) }, { executor })) as { logits: Float32Array };
    const wanted = await golden.readFloat32('logits');
    const apart = logits.reduce((most, v, i) => Math.max(most, Math.abs(v - wanted[i]!)), 0);
    expect(apart).toBeLessThan(1e-4);
    await executor.close();
  });

  test('has the tokens that the tokenizer gives that it was made of', async () => {
    const golden = await open();
    const tokenizer = await loadTokenizer(await ggufFolder(file));
    const texts = JSON.parse(golden.metadata.get('texts')!) as string[];
    for (const [i, text] of texts.entries()) {
      const ids = Int32Array.from(await golden.readFloat32(`tokens.${i}`));
      expect(tokenizer.encode(text)).toEqual(ids);
      expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(text);
    }
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.padId]).toEqual([1, 2, 0]);
  });

  test('takes an adapter on its blocks as they are stored', async () => {
    const model = attach(await loadGguf(file), [lora({ target: 'all-linear' })]);
    expect(summary(model).trained).toBeGreaterThan(0);
  });
});
