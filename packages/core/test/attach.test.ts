import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { blobFiles, memoryFiles } from '@peftjs/io';
import { constant, evaluate, reference } from '@peftjs/tensor';
import { type CausalLM, meanOf } from '@peftjs/transformer';
import { distance, shake, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { attach, load, type Method, merge, save } from '../src/index.ts';
import { scale, shift } from './toys.ts';

const ids = tokens([1, 5, 2, 9]);
const logits = async (model: CausalLM, r = reference()): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(ids) }, { executor: r }))['y'] as Float32Array;

const formats = [scale, shift];

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'core-test-'))));
afterAll(() => rm(dir, { recursive: true }));

test('initial values depend on the seed and the name, not on what else is attached', async () => {
  const r = reference();
  const read = async (methods: Method[], name: string, seed = 0): Promise<number[]> => [
    ...(await r.read(attach(tinyLlama(), methods, { seed }).state.get(name)!)),
  ];
  const alone = await read([shift()], 'v');
  expect(await read([shift()], 'v')).toEqual(alone);
  expect(await read([shift()], 'w')).not.toEqual(alone);
  expect(await read([shift()], 'v', 1)).not.toEqual(alone);
  expect(await read([shift(), scale()], 'shift1.v')).toEqual(
    await read([shift(), scale({ target: 'o_proj' })], 'shift1.v'),
  );
});

test('a list is saved in one folder and loads to the bit, frozen tensors too', async () => {
  const r = reference();
  const base = tinyLlama();
  const adapted = attach(base, [scale(), shift()]);
  await shake(adapted.state, { executor: r });
  await save(adapted, join(dir, 'list'), { executor: r });
  expect(JSON.parse(await readFile(join(dir, 'list', 'adapter_config.json'), 'utf8'))).toMatchObject({
    peft_type: 'PEFTJS_COMBINATION',
    methods: [
      { name: 'scale1', method: { peft_type: 'SCALE' } },
      { name: 'shift2', method: { peft_type: 'SHIFT' } },
    ],
  });
  const again = await load(base, join(dir, 'list'), formats);
  expect([...again.params.keys()]).toEqual([...adapted.params.keys()]);
  expect(distance(await logits(again.model, r), await logits(adapted.model, r))).toBe(0);
});

test('an adapter is saved into files in memory, and loaded from them and from Blobs of them', async () => {
  const r = reference();
  const base = tinyLlama();
  const adapted = attach(base, [scale()]);
  await shake(adapted.state, { executor: r });
  const files = memoryFiles();
  await save(adapted, files, { executor: r });
  const blobs = new Map<string, Blob>();
  for (const name of (await files.list())!) blobs.set(name, new Blob([await files.read(name)]));
  for (const place of [files, blobFiles(blobs)])
    expect(distance(await logits((await load(base, place, formats)).model, r), await logits(adapted.model, r))).toBe(0);
  await expect(load(base, blobFiles(blobs, 'chosen'), [shift])).rejects.toThrow(/^chosen: /);
  await expect(save(adapted, blobFiles(blobs), { executor: r })).rejects.toMatchObject({ code: 'bad-option' });
});

test('penalties add up', async () => {
  const r = reference();
  const adapted = attach(tinyLlama(), [shift(), shift()]);
  const [seed, labels] = [constant(Uint32Array.of(1), []), tokens([5, 2, 9, 1])];
  const inputs = { ids: tokens([1, 5, 2, 9]), labels };
  const losses = { all: meanOf(adapted.loss(inputs, seed)), plain: meanOf(adapted.model.loss(inputs)) };
  const { all, plain } = await evaluate(losses, { executor: r });
  let expected = 0;
  for (const p of adapted.params.values()) for (const v of await r.read(p)) expected += v * v;
  expect(all![0]! - plain![0]!).toBeCloseTo(expected, 4);
  expect(attach(tinyLlama(), [scale()]).patch.objective).toBeUndefined();
});

test('what is no change of weights refuses to merge, by name', async () => {
  await expect(merge(attach(tinyLlama(), [scale(), shift()]), { executor: reference() })).rejects.toMatchObject({
    code: 'not-mergeable',
    message: 'merge: shift does more than change weights; use the view as it is',
  });
});

test('merging folds the weights in and leaves the others shared', async () => {
  const r = reference();
  const base = tinyLlama();
  const adapted = attach(base, [scale()]);
  await shake(adapted.params, { executor: r });
  const { model: merged, errors } = await merge(adapted, { executor: r });
  expect(errors.size).toBe(0);
  expect(distance(await logits(merged, r), await logits(adapted.model, r))).toBeLessThan(1e-4);
  expect(merged.linears.get('lm_head')).toBe(base.linears.get('lm_head'));
});
