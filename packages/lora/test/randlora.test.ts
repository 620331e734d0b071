import { attach, load, save } from '@peftjs/core';
import { memoryFiles, readAdapter, writeAdapter } from '@peftjs/io';
import { reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { randlora } from '../src/index.ts';

test("a file may repeat the bases for each layer, as Hugging Face PEFT's does, if they are the same", async () => {
  const [base, files] = [tinyLlama(), memoryFiles()];
  await save(attach(base, [randlora({ rank: 3 })]), files, { executor: reference() });
  const { config, tensors } = await readAdapter(files);
  const shared = tensors.get('base_model.randlora_A')!;
  const copy = 'base_model.model.model.layers.0.self_attn.q_proj.randlora_A';
  const written = async (data: Float32Array): Promise<ReturnType<typeof memoryFiles>> => {
    const repeated = memoryFiles();
    const kept = [...tensors].map(([name, t]) => [name, { shape: t.shape, data: t.data }] as const);
    await writeAdapter(repeated, config.raw, new Map([...kept, [copy, { shape: shared.shape, data }]]));
    return repeated;
  };
  const values = Float32Array.from(shared.data as Float32Array);
  expect([...(await load(base, await written(values), [randlora])).state.keys()]).toContain('randlora_A');
  values[1]! += 1;
  await expect(load(base, await written(values), [randlora])).rejects.toThrow(
    /q_proj\.randlora_A must be the same in all layers of a file, but is not/,
  );
});
