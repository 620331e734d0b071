import { join } from 'node:path';
import { type Adapted, type Examples, load } from '@peftjs/core';
import { laplaceEvidence, laplaceLora, laplacePredict, lora } from '@peftjs/lora';
import type { Executor } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { causalLM, loadModel, sequenceClassifier, type TaskModel } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { familyAdapter, familyModel, recordedIn } from '../src/families.ts';
import { executors } from './executors.ts';

const all = await recordedIn(join(import.meta.dirname, '../data/python/laplace.safetensors'));
const priors = all.get('priors')!.data;

const models = [
  { name: 'bert-sequence', task: sequenceClassifier({ labels: 3 }), classes: null },
  { name: 'qwen2-causal', task: causalLM(), classes: [3, 7, 11, 20] },
] as const;

/** The rows of Python: a class each, or the token of an answer in the last place. */
const batchOf = (name: string, part: string, classes: readonly number[] | null): Examples => {
  const [ids, mask] = ['input_ids', 'attention_mask'].map((column) => all.get(`${name} ${part} ${column}`)!);
  const [rows, width] = ids!.shape as readonly [number, number];
  const wanted = all.get(`${name} ${part} wanted`)?.data;
  const answers = new Int32Array(rows * width).fill(-100);
  wanted?.forEach((k, i) => (answers[(i + 1) * width - 1] = classes?.[k] ?? k));
  const labels = classes ? answers : wanted && Int32Array.from(wanted);
  return {
    rows,
    columns: { ids: Int32Array.from(ids!.data), mask: mask!.data, ...(labels && { labels }) },
    shapes: { ids: [rows, width], mask: [rows, width], ...(labels && { labels: classes ? [rows, width] : [rows] }) },
  };
};

const relative = (ours: ArrayLike<number>, theirs: Float32Array): number =>
  distance(ours, theirs) / Math.max(...theirs.map(Math.abs));

describe.each(executors)('on %s', (_, open) => {
  let executor: Executor;
  beforeAll(async () => void (executor = await open()));
  afterAll(() => executor.close());

  describe.each(models)('Laplace-LoRA of $name', ({ name, task, classes }) => {
    let adapted: Adapted<TaskModel>;
    beforeAll(async () => {
      adapted = await load(await loadModel(familyModel(name), { task }), familyAdapter(name, 'lora'), [lora]);
    });

    test.each([
      ['whole', undefined],
      ['kept', 3],
    ] as const)('is what whole matrices give: factors %s', async (kind, kept) => {
      const recorded = (key: string): Float32Array => all.get(`${name} ${key}`)!.data;
      const posterior = await laplaceLora(adapted, {
        executor,
        data: ['0', '1'].map((part) => batchOf(name, part, classes)),
        ...(classes && { classes }),
        ...(kept && { kept }),
      });
      expect(relative([posterior.logLikelihood], recorded('log likelihood'))).toBeLessThan(1e-5);
      expect(relative([posterior.squaredNorm], recorded('norm'))).toBeLessThan(1e-5);
      expect(relative([posterior.priorPrecision], recorded(`${kind} prior`))).toBeLessThan(1e-4);
      const evidence = [...priors, posterior.priorPrecision].map((prior) => laplaceEvidence(posterior, prior));
      for (const [i, theirs] of recorded(`${kind} evidence`).entries())
        expect(relative([evidence[i]!], Float32Array.of(theirs))).toBeLessThan(1e-4);
      expect(posterior.logEvidence).toBe(evidence.at(-1));
      const further = batchOf(name, 'further', classes);
      const found = await laplacePredict(adapted, posterior, { executor, data: [further] });
      const logits = found.flatMap(({ mean }) => [...mean]);
      expect(relative(logits, recorded('logits'))).toBeLessThan(1e-4);
      const covariance = found.flatMap((row) => row.covariance.flat());
      expect(relative(covariance, recorded(`${kind} covariance`))).toBeLessThan(1e-3);
      const probabilities = found.flatMap((row) => [...row.probabilities]);
      expect(distance(probabilities, recorded(`${kind} probit`))).toBeLessThan(1e-4);
    });
  });
});
