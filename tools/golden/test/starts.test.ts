import { join } from 'node:path';
import { attach, load, type Method, prepare, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { corda, eva, type LoraGaDirection, type LoraGaScale, lora, loraGa, olora, pissa } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { constant, evaluate } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { adamw, makeTrainStep } from '@peftjs/trainer';
import { loadModel } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordedIn } from '../src/families.ts';
import { modelDir } from '../src/python-golden.ts';

const targets = { plain: ['q_proj', 'o_proj', 'down_proj'], gpt2: ['c_attn', 'c_proj'] };
const of = { rank: 3, alpha: 5 };
const ga = (direction: LoraGaDirection, firstScale: LoraGaScale): Method =>
  loraGa({ target: targets.plain, rank: 4, alpha: 5, direction, firstScale, gamma: 9 });
const cases: readonly (readonly [keyof typeof targets, string, Method])[] = [
  ['plain', 'pissa', pissa({ target: targets.plain, ...of })],
  ['plain', 'olora', olora({ target: targets.plain, ...of })],
  ['gpt2', 'pissa', pissa({ target: targets.gpt2, ...of })],
  ['plain', 'corda ipm', corda({ target: targets.plain, ...of })],
  ['plain', 'corda kpm', corda({ target: targets.plain, ...of, mode: 'kpm' })],
  ['plain', 'eva default', eva({ target: targets.plain, ...of })],
  ['plain', 'eva whitened', eva({ target: targets.plain, ...of, rho: 1.5, whiten: true, adjustAlpha: false })],
  ['plain', 'lora_ga ArB2r stable', ga('ArB2r', 'stable')],
  ['plain', 'lora_ga A2rBr weight_svd', ga('A2rBr', 'weight_svd')],
  ['plain', 'lora_ga ArBr gd_scale', ga('ArBr', 'gd_scale')],
];

/** Rows of A, or columns of B, with their largest entry made positive: a singular vector is known up to its sign. */
const unsigned = (
  values: ArrayLike<number>,
  [rows, columns]: readonly [number, number],
  isA: boolean,
): Float32Array => {
  const at = (i: number, k: number): number => (isA ? i * columns + k : k * columns + i);
  const out = Float32Array.from(values);
  for (let i = 0; i < (isA ? rows : columns); i++) {
    const own = Array.from({ length: isA ? columns : rows }, (_, k) => out[at(i, k)]!);
    const largest = own.reduce((x, y) => (Math.abs(y) > Math.abs(x) * (1 + 1e-4) ? y : x));
    for (const [k, v] of own.entries()) out[at(i, k)] = v * Math.sign(largest);
  }
  return out;
};

describe('a LoRA that begins with a part of the weights', () => {
  let executor: Awaited<ReturnType<typeof cpu>>;
  beforeAll(async () => void (executor = await cpu({ threads: 1 })));
  afterAll(() => executor.close());

  test.each(cases)(
    'on %s by %s trains as in PEFT, and so does the ordinary LoRA made of it',
    async (model, how, method) => {
      const base = await loadModel(modelDir(model));
      const recorded = await recordedIn(join(import.meta.dirname, `../data/python/starts/${model}.safetensors`));
      const integers = (name: string): Int32Array => Int32Array.from(recorded.get(name)!.data);
      const { shape } = recorded.get('ids')!;
      const ids = constant(integers('ids'), shape);
      const columns = { ids: integers('ids'), labels: integers('labels') };
      const batch = { rows: shape[0]!, columns, shapes: { ids: shape, labels: shape } };
      // PEFT's incremental decomposition goes over the batch twice before it has converged.
      const unlabelled = { rows: batch.rows, columns: { ids: columns.ids }, shapes: { ids: shape } };
      const adapted = attach(
        base,
        await prepare(base, [method], { executor, data: how.startsWith('eva') ? [unlabelled, unlabelled] : [batch] }),
      );
      const limit = how.startsWith('eva') ? 5e-3 : 1e-3; // PEFT's decomposition there is a randomised one
      const begun = [...recorded.keys()].filter((name) => name.startsWith(`${how} base_model.`));
      if (begun.length > 0) expect(begun.length).toBe(adapted.params.size);
      for (const [name, v] of adapted.params) {
        const first = recorded.get(`${how} base_model.model.${name}`);
        if (!first) continue;
        const compared = (values: ArrayLike<number>) =>
          unsigned(values, v.shape as [number, number], name.includes('lora_A'));
        expect(first.shape, name).toEqual([...v.shape]);
        const [ours, theirs] = [compared(await executor.read(v)), compared(first.data)];
        expect(distance(ours, theirs) / Math.max(...theirs.map(Math.abs), 1e-9), name).toBeLessThan(limit);
      }
      const optimizer = adamw({ weightDecay: 0 });
      const step = await makeTrainStep(adapted, { executor, optimizer });
      // Singular vectors of A are others than those of B here, so that the signs of each count once both have moved.
      const signed = how.startsWith('lora_ga');
      if (signed || how.startsWith('eva'))
        for (const [name, v] of [...adapted.params, ...adapted.running]) {
          const key = name.replace(/taken_([AB])$/, 'lora_$1.weight');
          await executor.write(v, Float32Array.from(recorded.get(`${how} base_model.model.${key}`)!.data));
        }
      const losses: number[] = [];
      for (let i = 0; i < 3; i++) {
        await step.run(i, 1e-2, [batch]);
        losses.push((await step.results())[0]!.loss);
      }
      step.close();
      expect(distance(losses, recorded.get(`${how} losses`)!.data)).toBeLessThan(1e-4);
      const logits = recorded.get(`${how} logits`)!.data;
      const files = memoryFiles(new Map());
      await save(adapted, files, { executor });
      for (const { model: view } of signed ? [adapted] : [adapted, await load(base, files, [lora])])
        expect(distance((await evaluate({ y: view.logits(ids) }, { executor }))['y']!, logits)).toBeLessThan(1e-4);
      const before = await evaluate({ y: base.logits(ids) }, { executor });
      expect(distance(before['y']!, logits)).toBeGreaterThan(1e-2);
    },
  );
});
