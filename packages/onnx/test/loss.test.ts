import { grad } from '@peftjs/autograd';
import { compile, headCrossEntropy, input, reference } from '@peftjs/tensor';
import { mustMatch } from '@peftjs/tensor/testing';
import { expect, it } from 'vitest';
import { cpu } from '../src/index.ts';

const [rows, width, vocabulary] = [6, 3, 5];

it.each([1, 1000])('is exact where a label is nearly impossible: logits × %d', async (factor) => {
  const [hidden, weight] = [input('hidden', [rows, width]), input('weight', [vocabulary, width])];
  const loss = headCrossEntropy(hidden, weight, input('labels', [rows], 'i32'), { chunk: 4 });
  const outputs = { loss, dHidden: grad(loss, [hidden])[0]! };
  const feeds = {
    hidden: Float32Array.from({ length: rows * width }, (_, i) => factor * Math.sin(i * 1.3)),
    weight: Float32Array.from({ length: vocabulary * width }, (_, i) => 5 * Math.cos(i * 2.1)),
    labels: Int32Array.of(0, 1, -100, 2, 3, 4),
  };
  const executor = await cpu({ threads: 1 });
  const got = await (await compile({ outputs }, executor)).run(feeds);
  const wanted = await (await compile({ outputs }, reference())).run(feeds);
  if (factor > 1) expect(wanted['loss']![0]).toBeGreaterThan(100);
  for (const [name, t] of Object.entries(outputs)) mustMatch(name, t, got[name]!, wanted[name]!);
  await executor.close();
});
