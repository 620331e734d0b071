import { attach, combine, load, merge, save, summary } from '@peftjs/core';
import { memoryFiles, readAdapter, writeAdapter } from '@peftjs/io';
import { nf4, quantize } from '@peftjs/quant';
import { evaluate, reference } from '@peftjs/tensor';
import { distance, shake, tinyGpt2, tinyLlama, tinyT5, tokens } from '@peftjs/testkit';
import type { CausalLM } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import * as all from '../src/index.ts';
import { adalora, dora, lora } from '../src/index.ts';

const ids = tokens([1, 5, 2, 9], [3, 3, 12, 0]);
const r = reference();
const logits = async (model: CausalLM): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(ids) }, { executor: r }))['y'] as Float32Array;
const pathsOf = (options: Parameters<typeof lora>[0], base = tinyLlama()): string[] => [
  ...new Set([...attach(base, [lora(options)]).params.keys()].map((name) => name.replace(/\.lora_.*$/, ''))),
];
const attn = (layer: number, name: string): string => `model.layers.${layer}.self_attn.${name}`;
const config = { peft_type: 'LORA', r: 2, lora_alpha: 2, target_modules: ['q_proj'] };
const throwsAt = (options: Parameters<typeof lora>[0], base = tinyLlama()): (() => unknown) => {
  const method = lora(options);
  return () => attach(base, [method]);
};

test('numbers of layers, exclusions, roles and patterns choose layers, as in Hugging Face PEFT', () => {
  expect(pathsOf({ layers: [1] })).toEqual([attn(1, 'q_proj'), attn(1, 'v_proj')]);
  expect(pathsOf({ layers: [0], layersPattern: 'layers', exclude: 'v_proj' })).toEqual([attn(0, 'q_proj')]);
  expect(pathsOf({ target: [attn(0, 'k_proj'), 'q_proj'], layers: [1] })).toEqual([
    attn(0, 'k_proj'),
    attn(1, 'q_proj'),
  ]);
  expect(pathsOf({ target: { roles: ['value'] } })).toEqual([attn(0, 'v_proj'), attn(1, 'v_proj')]);
  expect(pathsOf({ target: { pattern: '.*1.*[qk]_proj' } })).toEqual([attn(1, 'q_proj'), attn(1, 'k_proj')]);
  expect(pathsOf({ target: 'all-linear' })).not.toContain('lm_head');
  expect(pathsOf({ target: { roles: ['query', 'key', 'value'] } }, tinyGpt2())).toEqual([
    'transformer.h.0.attn.c_attn',
    'transformer.h.1.attn.c_attn',
  ]);
});

test('code must name what there is, files need not', async () => {
  expect(throwsAt({ layers: [7] })).toThrow('lora: layers: the target names nothing in layer 7; it does in 0, 1');
  expect(throwsAt({ exclude: 'nope' })).toThrow("lora: exclude: target 'nope' matches no layer");
  expect(throwsAt({ target: { roles: ['query'] } }, tinyGpt2())).toThrow(/c_attn makes query in 8 of its 24 outputs/);
  expect(throwsAt({ target: { pattern: 'x.*' } })).toThrow("target 'x.*' matches no layer");
  expect(throwsAt({ rankPattern: { nope: 3 } })).toThrow('lora: the patterns nope fit none of the layers');
  expect(throwsAt({ modulesToSave: ['nope'] })).toThrow('lora: modulesToSave: there is no layer nope');
  expect(throwsAt({ trainableTokens: [99] })).toThrow('so not 99');
  expect(throwsAt({ target: 'embed_tokens', trainableTokens: [1] })).toThrow(/cannot be trained alone/);
  expect(throwsAt({ exclude: ['q_proj', 'v_proj'] })).toThrow(/all of which are excluded/);
  expect(() => lora({ target: { pattern: '(' } })).toThrow('target must be a name, a list of names');
  const fromFile = lora.fromConfig({
    ...config,
    target_modules: ['q_proj', 'query_key_value'],
    exclude_modules: ['nope'],
    rank_pattern: { nope: 3 },
  });
  expect([...attach(tinyLlama(), [fromFile]).params.keys()][0]).toBe(`${attn(0, 'q_proj')}.lora_A.weight`);
});

test('a file of PEFT before 0.3 is read, but for updates of parts of a joined layer', () => {
  const old = { ...config, merge_weights: false, enable_lora: null };
  expect(lora.fromConfig(old).name).toBe('lora');
  expect(() => lora.fromConfig({ ...old, enable_lora: [true, false, true] })).toThrow(/not computed here: enable_lora/);
});

test.each([['nope'], '.*nope'])('a file that excludes %s, which is not there, is saved again', async (exclude) => {
  const fields = { ...config, exclude_modules: exclude, bias: 'any_only', total_step: 3, target_r: 1, init_r: 2 };
  const method = adalora.fromConfig({ ...fields, peft_type: 'ADALORA', alpha_pattern: { nope: 2 } });
  const again = await readAdapter(await saved(attach(tinyLlama(), [method])));
  expect(again.config.raw).toMatchObject({ target_modules: [0, 1].map((n) => attn(n, 'q_proj')), bias: 'lora_only' });
});

test('overlapping patterns are saved by path, so that sorted keys mean the same', () => {
  const method = lora({ rank: 2, rankPattern: { 'layers.1.self_attn.q_proj': 3, q_proj: 4, '.*v_proj': 5 } });
  const expected = { [attn(0, 'q_proj')]: 4, [attn(0, 'v_proj')]: 5, [attn(1, 'q_proj')]: 3, [attn(1, 'v_proj')]: 5 };
  expect(method.config(tinyLlama())['rank_pattern']).toEqual(expected);
  const again = lora.fromConfig(JSON.parse(JSON.stringify(method.config(tinyLlama()))));
  expect(again.config(tinyLlama())).toEqual(method.config(tinyLlama()));
});

test.each(['pissa', 'pissa_niter_4', 'olora', 'corda', 'loftq', 'lora_ga'])(
  'a file that began with %s is refused, with the way out',
  (init_lora_weights) => {
    const message = /init_lora_weights is .*path_initial_model_for_weight_conversion/;
    expect(() => lora.fromConfig({ ...config, init_lora_weights })).toThrow(message);
    expect(() => dora.fromConfig({ ...config, use_dora: true, init_lora_weights })).toThrow(message);
  },
);

test.each([true, false, null, 'gaussian', 'orthogonal', 'eva'])('one that began with %s is read', (init) => {
  expect(lora.fromConfig({ ...config, init_lora_weights: init }).name).toBe('lora');
});

test('an alpha of AdaLoRA that is not above 0 means the rank', async () => {
  const both = await Promise.all(
    [-1, 12].map(async (alpha) => {
      const adapted = attach(tinyLlama(), [adalora({ alpha, rank: 12, targetRank: 2 })]);
      await shake(adapted.params, { executor: r });
      return logits(adapted.model);
    }),
  );
  expect(distance(both[0]!, both[1]!)).toBe(0);
});

test('heads and embeddings that share a table merge apart', async () => {
  const base = tinyGpt2();
  for (const target of ['wte', 'lm_head']) {
    const adapted = attach(base, [lora({ target, rank: 2 })]);
    await shake(adapted.params, { executor: r });
    const merged = await merge(adapted, { executor: r });
    expect(distance(await logits(merged.model), await logits(adapted.model))).toBeLessThan(1e-5);
    expect(distance(await logits(adapted.model), await logits(base))).toBeGreaterThan(1e-3);
  }
});

const saved = async (adapted: ReturnType<typeof attach<CausalLM>>): Promise<ReturnType<typeof memoryFiles>> => {
  const files = memoryFiles();
  await save(adapted, files, { executor: r });
  return files;
};

test("copies of the base's layers are dropped where they are the base's, and named where they are not", async () => {
  const base = tinyLlama();
  const adapted = attach(base, [lora({ rank: 2 })]);
  await shake(adapted.params, { executor: r });
  const { config: file, tensors } = await readAdapter(await saved(adapted));
  const table = (await evaluate({ t: base.embeddings.get('model.embed_tokens')!.weight }, { executor: r }))[
    't'
  ] as Float32Array;
  const { shape } = base.embeddings.get('model.embed_tokens')!.weight;
  const withCopy = async (data: Float32Array): Promise<ReturnType<typeof memoryFiles>> => {
    const files = memoryFiles();
    const kept = [...tensors].map(([name, t]) => [name, { shape: t.shape, data: t.data }] as const);
    await writeAdapter(
      files,
      file.raw,
      new Map([...kept, ['base_model.model.model.embed_tokens.weight', { shape, data }]]),
    );
    return files;
  };
  const again = await load(base, await withCopy(table), [lora]);
  expect(distance(await logits(again.model), await logits(adapted.model))).toBe(0);
  await expect(load(base, await withCopy(table.map((v) => v + 1)), [lora])).rejects.toThrow(
    /model\.embed_tokens\.weight has other values than the base/,
  );
});

test('values that are not finite are named when they are loaded, and when they are merged', async () => {
  const base = tinyLlama();
  const adapted = attach(base, [lora({ rank: 2 })]);
  const name = `${attn(0, 'q_proj')}.lora_B.weight`;
  const v = adapted.params.get(name)!;
  await r.write(v, (await r.read(v)).fill(Number.NaN));
  await expect(load(base, await saved(adapted), [lora])).rejects.toThrow(`${name} holds NaN at 0`);
  await expect(merge(adapted, { executor: r })).rejects.toThrow(`merge: ${attn(0, 'q_proj')}.weight holds NaN`);
});

test('load finds the method among exports, and names the import that is missing', async () => {
  const files = await saved(attach(tinyLlama(), [dora({ rank: 2 })]));
  expect((await load(tinyLlama(), files, all)).method.name).toBe('dora');
  expect((await load(tinyLlama(), files, new Set([lora, dora]))).method.name).toBe('dora');
  await expect(load(tinyLlama(), files, [lora])).rejects.toThrow(
    "the folder holds a DoRA (LORA with use_dora); pass dora from '@peftjs/lora'. load was given: lora (LORA).",
  );
});

test('any nesting of parts and combinations is saved and loads', async () => {
  const base = tinyLlama();
  const inner = combine([lora({ rank: 2 }), { target: 'o_proj', method: dora({ target: 'o_proj' }) }]);
  const method = combine([{ layers: [0], method: inner }]);
  const adapted = attach(base, [method]);
  await shake(adapted.params, { executor: r });
  const again = await load(base, await saved(adapted), all);
  expect(distance(await logits(again.model), await logits(adapted.model))).toBe(0);
});

test('the error of storing is relative to the change, and layers that lost it are named', async () => {
  const base = tinyLlama();
  const small = attach(quantize(base, nf4()), [lora({ rank: 2, target: 'q_proj' })]);
  const b = small.params.get(`${attn(0, 'q_proj')}.lora_B.weight`)!;
  await r.write(b, (await r.read(b)).fill(1e-4));
  const merged = await merge(small, { executor: r });
  expect(merged.undone).toContain(attn(0, 'q_proj'));
  expect(merged.errors.get(attn(0, 'q_proj'))).toBeGreaterThan(0.5);
  const plain = attach(base, [lora({ rank: 2, target: 'q_proj' })]);
  const c = plain.params.get(`${attn(0, 'q_proj')}.lora_B.weight`)!;
  await r.write(c, (await r.read(c)).fill(1e-5));
  expect((await merge(plain, { executor: r })).errors.size).toBe(0);
  expect((await merge(plain, { executor: r, storedAs: 'bf16' })).undone).toContain(attn(0, 'q_proj'));
  await r.write(c, (await r.read(c)).fill(1));
  expect((await merge(plain, { executor: r, storedAs: 'bf16' })).undone).not.toContain(attn(0, 'q_proj'));
});

test('a summary says what is trained, what it is of the base, and what a file holds', () => {
  const found = summary(attach(tinyLlama(), [lora({ rank: 2, modulesToSave: ['lm_head'] })]));
  expect(found.rows.map(({ pattern, tensors }) => [pattern, tensors])).toEqual([
    ['model.layers.*.self_attn.q_proj.lora_A.weight', 2],
    ['model.layers.*.self_attn.q_proj.lora_B.weight', 2],
    ['model.layers.*.self_attn.v_proj.lora_A.weight', 2],
    ['model.layers.*.self_attn.v_proj.lora_B.weight', 2],
    ['lm_head.weight', 1],
  ]);
  expect(found.trained).toBe(found.rows.reduce((n, { values }) => n + values, 0));
  expect(found.file.bytes).toBe(4 * found.trained);
  expect(found.share).toBeCloseTo(found.trained / found.base);
  expect([found.merges, found.methods]).toEqual([true, [{ name: 'lora', merges: true }]]);
  expect(found.text).toMatch(/^lora: [\d,]+ trained values, .* % of the base's [\d,]+\n {2}model\.layers/);
});

test('ties of adapters are refused where they would be, and only there', () => {
  const of = (fields: object): unknown => lora.fromConfig({ peft_type: 'LORA', ensure_weight_tying: true, ...fields });
  expect(() => of({ target_modules: ['q_proj'] })).not.toThrow();
  expect(() => of({ target_modules: '.*_proj', modules_to_save: ['norm'] })).not.toThrow();
  for (const fields of [
    { target_modules: ['q_proj', 'lm_head'] },
    { target_modules: '.*(_proj|embed_tokens)' },
    { target_modules: ['q_proj'], modules_to_save: ['model.embed_tokens'] },
  ])
    expect(() => of(fields)).toThrow(/ensure_weight_tying makes one adapter .* leave embed_tokens and lm_head out of/);
});

test('a table that two towers read is adapted by rows alone', async () => {
  const base = tinyT5();
  const says = /shared is one table for encoder and decoder, and Hugging Face PEFT would adapt it for each apart/;
  expect(() => attach(base, [lora({ target: ['q', 'shared'] })])).toThrow(says);
  expect(() => attach(base, [lora({ modulesToSave: ['shared'] })])).toThrow(says);
  const adapted = attach(base, [lora({ trainableTokens: [3, 5] })]);
  expect(adapted.params.get('shared.token_adapter.trainable_tokens_delta')?.shape).toEqual([2, 8]);
});
