import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSafetensors, type WriteTensor, writeSafetensors } from '@peftjs/io';
import { reference } from '@peftjs/tensor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildModel, loadModel, parameters, randomWeights, saveModel } from '../src/index.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { tinyGpt2Config, tinyWeights } from './tiny.ts';

const ids = tokens([3, 1, 4, 1, 5]);
let root = '';
beforeAll(async () => void (root = await mkdtemp(join(tmpdir(), 'peftjs-gpt2-'))));
afterAll(() => rm(root, { recursive: true }));

let made = 0;
const saved = async (
  model = buildModel(tinyGpt2Config({ tieWordEmbeddings: true }), tinyWeights()),
): Promise<string> => {
  const dir = join(root, String(made++));
  await saveModel(model, dir, { executor: reference() });
  return dir;
};

/** Writes the tensors of a folder again, changed. */
const rewrite = async (
  dir: string,
  change: (tensors: Map<string, WriteTensor>) => Iterable<readonly [string, WriteTensor]>,
): Promise<void> => {
  const path = join(dir, 'model.safetensors');
  const tensors = new Map<string, WriteTensor>();
  {
    await using reader = await openSafetensors(path);
    for (const [name, { shape }] of reader.tensors)
      tensors.set(name, { dtype: 'F32', shape, data: await reader.readFloat32(name) });
  }
  await writeSafetensors(path, new Map(change(tensors)));
};

const zeros = (...shape: readonly number[]): WriteTensor => ({
  dtype: 'F32',
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
});

describe('a GPT-2 checkpoint', () => {
  test('has linear layers as [in, out], and names and config of transformers', async () => {
    const model = buildModel(tinyGpt2Config(), tinyWeights());
    const dir = await saved(model);
    await using reader = await openSafetensors(join(dir, 'model.safetensors'));
    expect([...reader.tensors.keys()].sort()).toEqual([...parameters(model).keys()].sort());
    const name = 'transformer.h.1.mlp.c_fc.weight';
    expect(reader.tensors.get(name)!.shape).toEqual([8, 10]);
    const [file, memory] = [await reader.readFloat32(name), await reference().read(parameters(model).get(name)!)];
    for (let i = 0; i < 8; i++) for (let o = 0; o < 10; o++) expect(file[i * 10 + o]).toBe(memory[o * 8 + i]);
    expect(reader.tensors.get('transformer.wpe.weight')!.shape).toEqual([64, 8]);
    expect(reader.tensors.get('lm_head.weight')!.shape).toEqual([13, 8]);
    expect(JSON.parse(await readFile(join(dir, 'config.json'), 'utf8'))).toMatchObject({
      model_type: 'gpt2',
      architectures: ['GPT2LMHeadModel'],
      n_embd: 8,
      n_inner: 10,
      activation_function: 'gelu_new',
      tie_word_embeddings: false,
    });
  });

  test('may lack the prefix and carry the buffers of old ones, and the head beside the table that it is', async () => {
    const model = buildModel(tinyGpt2Config({ tieWordEmbeddings: true }), tinyWeights());
    const dir = await saved(model);
    await rewrite(dir, (tensors) => [
      ...[...tensors].map(([name, t]) => [name.replace(/^transformer\./, ''), t] as const),
      ['h.0.attn.bias', zeros(1, 1, 64, 64)],
      ['h.1.attn.masked_bias', zeros(1)],
      ['lm_head.weight', tensors.get('transformer.wte.weight')!],
    ]);
    const loaded = await loadModel(dir);
    expect([...parameters(loaded).keys()]).toEqual([...parameters(model).keys()]);
    expect(await valuesOf(loaded.logits(ids))).toEqual(await valuesOf(model.logits(ids)));
  });

  test('has the head that is in the file where the config calls it tied and it is another one; saved so too', async () => {
    const model = buildModel(tinyGpt2Config({ tieWordEmbeddings: true }), tinyWeights());
    const dir = await saved(model);
    const head = { ...zeros(13, 8), data: Float32Array.from({ length: 104 }, (_, i) => Math.sin(i)) };
    await rewrite(dir, (tensors) => [...tensors, ['lm_head.weight', head]]);
    const loaded = await loadModel(dir);
    const own = await valuesOf(loaded.logits(ids));
    expect(distance(own, await valuesOf(model.logits(ids)))).toBeGreaterThan(0.1);
    expect(await reference().read(parameters(loaded).get('lm_head.weight')!)).toEqual(head.data);
    const again = await loadModel(await saved(loaded));
    expect(again.config.tieWordEmbeddings).toBe(false);
    expect(await valuesOf(again.logits(ids))).toEqual(own);
  });

  test('may carry those buffers under full names too', async () => {
    const dir = await saved();
    await rewrite(dir, (tensors) => [...tensors, ['transformer.h.0.attn.bias', zeros(1, 1, 64, 64)]]);
    expect((await loadModel(dir)).linears.size).toBe(9);
  });

  test('that does not fit is told in the shapes of the file, all at once', async () => {
    const dir = await saved();
    await rewrite(dir, (tensors) => {
      tensors.delete('transformer.h.0.attn.c_attn.bias');
      tensors.set('transformer.h.1.mlp.c_fc.weight', zeros(10, 8));
      return [...tensors, ['transformer.h.2.attn.c_attn.weight', zeros(8, 24)]];
    });
    await expect(loadModel(dir)).rejects.toThrow(
      /transformer\.h\.0\.attn\.c_attn\.bias \[24\] is missing; transformer\.h\.1\.mlp\.c_fc\.weight is \[10,8\], the config makes it \[8,10\]; transformer\.h\.2\.attn\.c_attn\.weight belongs to nothing/,
    );
  });

  test('without a name of ours is told by the names it could have', async () => {
    const dir = await saved();
    await rewrite(dir, () => [['h.0.attn.c_attn.weight', zeros(8, 24)]]);
    await expect(loadModel(dir)).rejects.toThrow(/: wte\.weight \[13,8\] is missing; wpe\.weight \[64,8\] is missing/);
  });

  test.each([
    ['heads that do not divide the width', { n_head: 3 }, /n_embd 8 is not a multiple of n_head 3/],
    ['an activation that there is not', { activation_function: 'mish' }, /activation_function/],
    ['attention over another text', { add_cross_attention: true }, /add_cross_attention: true is not supported/],
    ['a token that there is not', { eos_token_id: 13 }, /eos_token_id 13 is not within vocab_size 13/],
  ])('of a config with %s is refused', async (_, changes, message) => {
    const dir = await saved();
    const path = join(dir, 'config.json');
    await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), ...changes }));
    await expect(loadModel(dir)).rejects.toThrow(message);
  });
});

test('random weights start as GPT-2 does', async () => {
  const config = tinyGpt2Config({ hiddenSize: 32, headDim: 16, intermediateSize: 64 });
  const variables = parameters(buildModel(config, randomWeights(config, 5)));
  const std = async (name: string): Promise<number> => {
    const values = Array.from(await reference().read(variables.get(`transformer.${name}`)!));
    return Math.sqrt(values.reduce((s, v) => s + v * v, 0) / values.length);
  };
  for (const name of ['h.0.attn.c_attn.weight', 'h.1.mlp.c_fc.weight', 'wpe.weight'])
    expect(Math.abs((await std(name)) / 0.02 - 1), name).toBeLessThan(0.1);
  for (const name of ['h.0.attn.c_proj.weight', 'h.1.mlp.c_proj.weight'])
    expect(Math.abs((await std(name)) / 0.01 - 1), name).toBeLessThan(0.1);
  expect(await std('h.0.ln_1.weight')).toBe(1);
  expect(await std('h.0.ln_1.bias')).toBe(0);
});
