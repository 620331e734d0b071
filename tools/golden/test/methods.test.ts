import { grad } from '@peftjs/autograd';
import type { Adapted } from '@peftjs/core';
import { constant, type Executor, evaluate, type Shape, type Tensor } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { generate, meanOf } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Golden, goldens } from '../src/goldens.ts';
import { context, namesThere, openFile, openTrained, rows, trainThreeSteps } from '../src/open-golden.ts';
import { readGolden } from '../src/python-golden.ts';
import { atTokens } from '../src/token-logits.ts';
import { executors } from './executors.ts';

const cases = await Promise.all(goldens.map(async (golden) => ({ golden, record: await readGolden(golden.name) })));

const largestOf = (values: Float32Array): number => distance(values, new Float32Array(values.length));

/** Values as Python holds them. */
const asThere = ({ transposed }: Golden, name: string, values: ArrayLike<number>, shape: Shape): ArrayLike<number> => {
  if (!transposed?.test(name)) return values;
  const [out, into] = shape as readonly [number, number];
  return Float32Array.from({ length: out * into }, (_, k) => values[(k % out) * into + Math.floor(k / out)]!);
};

describe.each(executors)('an adapter made in Python, on %s', (_, open) => {
  let executor: Executor;
  beforeAll(async () => void (executor = await open()));
  afterAll(() => executor.close());

  describe.each(cases)('$golden.name', ({ golden, record }) => {
    const opened = new Map<string, Adapted>();
    let trained: Adapted;
    beforeAll(async () => {
      if (record.hasFile) opened.set('from its file', await openFile(golden, record.adapterDir));
      trained =
        golden.trained || !record.hasFile ? await openTrained(golden, record, executor) : [...opened.values()][0]!;
      opened.set('as it is trained', trained);
    });
    const batch = (): { readonly ids: Tensor; readonly labels: Tensor } => ({
      ids: constant(record.ids, [rows, context]),
      labels: constant(record.labels, [rows, context]),
    });
    const lossOf = (adapted: Adapted): Tensor => meanOf(adapted.loss(batch(), constant(Uint32Array.of(1), [])));
    test('gives the same logits and the same loss', async () => {
      for (const [form, adapted] of opened) {
        const { vocabSize } = adapted.model.config;
        const there = constant(record.logits, [rows, record.logits.length / rows / vocabSize, vocabSize]);
        const [ours, theirs] = atTokens(adapted.model.logits(batch().ids), there);
        const values = await evaluate({ ours, theirs, loss: lossOf(adapted) }, { executor });
        expect(distance(values['ours']!, values['theirs']!), form).toBeLessThan(1e-4);
        expect(distance(values['loss']!, [record.losses[0]!]), form).toBeLessThan(1e-5);
      }
    });

    test('gives the same gradient of every parameter', async () => {
      const names = namesThere(golden, trained, record);
      const tensors = grad(
        lossOf(trained),
        [...names.values()].map((n) => trained.params.get(n)!),
      );
      expect([...names.keys()].sort()).toEqual([...record.gradients.keys()].sort());
      const values = await evaluate(Object.fromEntries([...names.keys()].map((n, i) => [n, tensors[i]!])), {
        executor,
      });
      for (const [n, expected] of record.gradients) {
        const largest = golden.noGradient?.test(n) ? 1 : largestOf(expected);
        const ours = asThere(golden, n, values[n]!, trained.params.get(names.get(n)!)!.shape);
        expect(distance(ours, expected) / largest, n).toBeLessThan(golden.gradientLimit ?? 1e-4);
      }
    });

    const { greedy, ids } = record;
    if (greedy)
      test('continues a prompt with the same twenty tokens', async () => {
        for (const [form, { model }] of opened)
          expect(await generate(model, { executor, prompt: ids.subarray(0, 8), maxTokens: 20 }), form).toEqual([
            ...greedy,
          ]);
      });

    test('is the same after three steps of AdamW', async () => {
      const losses = await trainThreeSteps(golden, trained, record, executor);
      expect(distance(losses, record.losses)).toBeLessThan(1e-4);
      const names = namesThere(golden, trained, record);
      expect([...names.keys()].sort()).toEqual([...record.trained.keys()].sort());
      for (const [there, name] of names) {
        const v = trained.params.get(name)!;
        const values = asThere(golden, there, await executor.read(v), v.shape);
        expect(distance(values, record.trained.get(there)!), there).toBeLessThan(5e-5);
      }
      const after = record.further.get('logits after');
      if (!after) return;
      const { logits } = await evaluate({ logits: trained.model.logits(batch().ids) }, { executor });
      expect(distance(logits!, after), 'logits after the three steps').toBeLessThan(1e-4);
    });
  });
});
