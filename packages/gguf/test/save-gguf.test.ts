import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type AdapterTensorData, loadTokenizer, memoryFiles, readAdapter, writeAdapter } from '@peftjs/io';
import { constant, evaluate, reference, variable } from '@peftjs/tensor';
import { buildModel, type CausalLM, type DecoderConfig, parseConfig, randomWeights } from '@peftjs/transformer';
import { tinyBert, tinyLlama } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { ggufFolder, loadGguf, openGguf, readValues, saveGguf, saveGgufAdapter } from '../src/index.ts';

const data = join(import.meta.dirname, '../../../tools/golden/data/gguf');
const ids = constant(Int32Array.of(1, 5, 17, 200, 3), [1, 5], 'i32');

const logitsOf = async (model: CausalLM): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(ids) }, { executor: reference() }))['y'] as Float32Array;

const apart = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i]!)), 0);

/** A file in memory to write to. */
const fresh = () => ({ files: memoryFiles(), path: 'saved.gguf' });

const models = readdirSync(data).flatMap((file) => (file.endsWith('.gguf') ? [file.slice(0, -5)] : []));

describe.each(models)('%s', (name) => {
  test('is written and read again: logits, tokens, metadata', async () => {
    const file = join(data, `${name}.gguf`);
    const [model, executor, to] = [await loadGguf(file), reference(), fresh()];
    await saveGguf(model, to, { executor, storage: 'F32' });
    expect(apart(await logitsOf(await loadGguf(to)), await logitsOf(model))).toBeLessThan(1e-5);
    const [before, after] = [await loadTokenizer(await ggufFolder(file)), await loadTokenizer(await ggufFolder(to))];
    for (const text of ["The white whale, it's 12345  of them\n", 'héllo 漢字 🤖'])
      expect(after.encode(text)).toEqual(before.encode(text));
    const [old, written] = [await openGguf(file), await openGguf(to)];
    expect([...written.tensors.keys()].sort()).toEqual([...old.tensors.keys()].sort());
    for (const [key, value] of old.metadata)
      if (!/^(tokenizer|general|GGUF)/.test(key) && value !== 'none')
        expect(written.metadata.get(key), key).toEqual(value);
  });
});

test('blocks that are written in the type that they were read in stay what they are', async () => {
  const [model, executor, to] = [await loadGguf(join(data, 'llama-plain.gguf')), reference(), fresh()];
  await saveGguf(model, to, { executor, storage: 'Q8_0' });
  const again = fresh();
  await saveGguf(await loadGguf(to), again, { executor, storage: 'Q8_0' });
  const [once, twice] = [await openGguf(to), await openGguf(again)];
  for (const [name, tensor] of once.tensors)
    expect(apart(await readValues(twice.tensors.get(name)!), await readValues(tensor))).toBeLessThan(1e-6);
});

test('rows that are no whole blocks of a K type take the one that llama.cpp takes', async () => {
  const [model, executor, to] = [await loadGguf(join(data, 'qwen2.gguf')), reference(), fresh()];
  await saveGguf(model, to, { executor, storage: 'Q4_K' });
  const { tensors } = await openGguf(to);
  expect(tensors.get('blk.0.attn_q.weight')!.storage).toBe('Q5_0');
  expect(tensors.get('blk.0.attn_norm.weight')!.storage).toBe('F32');
});

test('layers by a codebook are what the file holds; other values are packed in a K type', async () => {
  const [executor, to] = [reference(), fresh()];
  const small = tinyLlama({
    hiddenSize: 256,
    intermediateSize: 256,
    heads: 2,
    keyValueHeads: 2,
    headDim: 128,
    layers: 1,
  });
  await saveGguf(small, to, { executor, storage: 'TQ2_0' });
  // A block of IQ2_XXS has as many bytes; those of TQ2_0 stand for other values there.
  const bytes = Buffer.from(await to.files.read(to.path));
  for (const name of ['blk.0.attn_q.weight', 'blk.0.ffn_up.weight']) {
    const type = bytes.indexOf(name) + name.length + 4 + 16;
    expect(bytes.readUInt32LE(type)).toBe(35);
    bytes.writeUInt32LE(16, type);
  }
  const at = { files: memoryFiles(new Map([['iq.gguf', bytes]])), path: 'iq.gguf' };
  const [{ tensors }, model] = [await openGguf(at), await loadGguf(at)];
  const wanted = await readValues(tensors.get('blk.0.ffn_up.weight')!);
  const up = model.linears.get('model.layers.0.mlp.up_proj')!;
  const values = async (layer: typeof up): Promise<Float32Array> =>
    (await evaluate({ w: layer.dense().weight }, { executor }))['w'] as Float32Array;
  expect(apart(await values(up), wanted)).toBe(0);
  const halved = up.encode({
    weight: variable(
      'w',
      [256, 256],
      wanted.map((v) => v / 2),
    ),
    bias: null,
  });
  const got = await values(halved);
  expect(Math.hypot(...got.map((v, i) => v - wanted[i]! / 2)) / Math.hypot(...wanted.map((v) => v / 2))).toBeLessThan(
    0.35,
  );
});

test.each([
  ['rotates', 'smollm3', { no_rope_layers: [0, 1, 1, 1] }],
  ['window', 'qwen2', { use_sliding_window: true, sliding_window: 4, max_window_layers: 0 }],
  ['scoreScale', 'gemma2', { query_pre_attn_scalar: 24 }],
  ['window', 'gemma2', { layer_types: ['full_attention', 'sliding_attention'], sliding_window: 4 }],
  ['activation', 'phi3', { hidden_act: 'gelu', sliding_window: 6, original_max_position_embeddings: 128 }],
])('%s of its own, of which the files of a %s cannot tell, is refused by name', async (field, modelType, more) => {
  const sizes = { vocab_size: 16, hidden_size: 32, intermediate_size: 32, num_attention_heads: 2, head_dim: 16 };
  const layers = { num_hidden_layers: modelType === 'smollm3' ? 4 : 2, num_key_value_heads: 2 };
  const config = await parseConfig({
    model_type: modelType,
    ...sizes,
    ...layers,
    pad_token_id: 0,
    bos_token_id: 1,
    eos_token_id: 2,
    ...more,
  });
  const made = buildModel(config, randomWeights(config, 1));
  await expect(saveGguf(made as CausalLM, fresh(), { executor: reference() })).rejects.toThrow(
    new RegExp(`llama.cpp's files cannot say what this ${modelType} does by ${field}`),
  );
});

test('a model that llama.cpp has no name for is refused with those that it has', async () => {
  await expect(saveGguf(tinyBert() as unknown as CausalLM, fresh(), { executor: reference() })).rejects.toThrow(
    /models of type bert are not written as GGUF; those of type llama, qwen2/,
  );
});

describe('an adapter', () => {
  const config = {
    peft_type: 'LORA',
    r: 2,
    lora_alpha: 6,
    target_modules: ['q_proj', 'v_proj'],
    task_type: 'CAUSAL_LM',
  };
  const base = tinyLlama();
  const tensorsOf = (names: readonly string[]) =>
    new Map(
      names.flatMap((path, n): [string, AdapterTensorData][] => {
        const { inDim, outDim } = base.linears.get(path)!;
        const values = (size: number) => Float32Array.from({ length: size }, (_, i) => Math.sin(i + n));
        return [
          [`base_model.model.${path}.lora_A.weight`, { shape: [2, inDim], data: values(2 * inDim) }],
          [`base_model.model.${path}.lora_B.weight`, { shape: [outDim, 2], data: values(2 * outDim) }],
        ];
      }),
    );
  const layers = ['model.layers.0.self_attn.q_proj', 'model.layers.0.self_attn.v_proj'];
  const folder = async (more: Readonly<Record<string, string | boolean | object>> = {}, names = layers) => {
    const files = memoryFiles();
    await writeAdapter(files, { ...config, ...more } as never, tensorsOf(names));
    return files;
  };

  test("has its matrices by llama.cpp's names, rows of queries by pairs, and own scales in B", async () => {
    const [from, to] = [await folder({ alpha_pattern: { v_proj: 12 } }), fresh()];
    await saveGgufAdapter(from, to, { base });
    const { metadata, tensors } = await openGguf(to);
    expect(metadata.get('adapter.lora.alpha')).toBe(6);
    expect([...tensors.keys()]).toEqual([
      'blk.0.attn_q.weight.lora_a',
      'blk.0.attn_q.weight.lora_b',
      'blk.0.attn_v.weight.lora_a',
      'blk.0.attn_v.weight.lora_b',
    ]);
    const read = await readAdapter(from);
    const b = (path: string) => read.tensors.get(`base_model.model.${path}.lora_B.weight`)!.data as Float32Array;
    expect(await readValues(tensors.get('blk.0.attn_v.weight.lora_b')!)).toEqual(b(layers[1]!).map((v) => 2 * v));
    const queries = await readValues(tensors.get('blk.0.attn_q.weight.lora_b')!);
    const { headDim } = base.config as DecoderConfig;
    const row = (values: Float32Array, i: number) => values.subarray(2 * i, 2 * i + 2);
    for (let i = 0; i < queries.length / 2; i++) {
      const [head, inHead] = [Math.floor(i / headDim), i % headDim];
      const ours = head * headDim + (inHead % 2) * (headDim / 2) + Math.floor(inHead / 2);
      expect(row(queries, i)).toEqual(row(b(layers[0]!), ours));
    }
  });

  test.each([
    ['alora_invocation_tokens [3]', { alora_invocation_tokens: [3] }],
    ['use_dora true', { use_dora: true }],
    ['init_lora_weights "pissa"', { init_lora_weights: 'pissa' }],
  ])('with %s is refused by name', async (why, more) => {
    await expect(saveGgufAdapter(await folder(more), fresh(), { base })).rejects.toThrow(
      new RegExp(`llama.cpp does not do ${why.replaceAll('[', '\\[')}`),
    );
  });

  test('of another method is refused, and says what to do', async () => {
    await expect(saveGgufAdapter(await folder({ peft_type: 'LOHA' }), fresh(), { base })).rejects.toThrow(
      /the adapter is LOHA; make it a LoRA by toLora/,
    );
  });

  test('on a head that is the table of tokens is refused', async () => {
    const tied = await loadGguf(join(data, 'llama-plain.gguf'));
    const files = memoryFiles();
    const { inDim, outDim } = tied.linears.get('lm_head')!;
    await writeAdapter(
      files,
      { ...config, target_modules: ['lm_head'] } as never,
      new Map([
        ['base_model.model.lm_head.lora_A.weight', { shape: [1, inDim], data: new Float32Array(inDim) }],
        ['base_model.model.lm_head.lora_B.weight', { shape: [outDim, 1], data: new Float32Array(outDim) }],
      ]),
    );
    await expect(saveGgufAdapter(files, fresh(), { base: tied })).rejects.toThrow(
      /lm_head is the table of tokens in this model/,
    );
  });

  test('with values beyond F16 is refused by name, never written as infinite', async () => {
    const files = memoryFiles();
    const tensors = tensorsOf(layers);
    (tensors.get(`base_model.model.${layers[0]}.lora_A.weight`)!.data as Float32Array)[3] = 1e5;
    await writeAdapter(files, { ...config } as never, tensors);
    await expect(saveGgufAdapter(files, fresh(), { base, storage: 'F16' })).rejects.toThrow(
      /saveGgufAdapter: blk.0.attn_q.weight.lora_a holds 100000, too large for F16/,
    );
  });

  test('of another base is refused with its sizes', async () => {
    const other = await loadGguf(join(data, 'llama-plain.gguf'));
    await expect(saveGgufAdapter(await folder(), fresh(), { base: other })).rejects.toThrow(
      /q_proj has lora_A \[2,\d+\]/,
    );
  });
});
