import { reference, sizeOf } from '@peftjs/tensor';
import { tinyBert } from '@peftjs/testkit';
import { sequenceClassifier } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { eachInputs } from '../src/starts/collected.ts';

const pooler = 'bert.pooler.dense';

test('of a layer that reads one row a text every row counts, whatever its width and padding', async () => {
  const model = tinyBert({}, 0, sequenceClassifier({ labels: 2 }));
  const { inDim } = model.linears.get(pooler)!;
  // As many tokens as the layer has inputs, which its two axes must not be taken for.
  const [rows, tokens] = [3, inDim];
  const ids = Int32Array.from({ length: rows * tokens }, (_, i) => 1 + (i % 7));
  const mask = Float32Array.from({ length: rows * tokens }, (_, i) => (i % tokens < 4 ? 1 : 0));
  const shape = [rows, tokens];
  const data = [
    {
      rows,
      columns: { ids, mask, labels: Int32Array.of(0, 1, 1) },
      shapes: { ids: shape, mask: shape, labels: [rows] },
    },
  ];
  const found = new Map<string, { readonly products: Float32Array; readonly count: number }>();
  const query = 'bert.encoder.layer.0.attention.self.query';
  await eachInputs('test', model, [pooler, query], { executor: reference(), data }, {}, (path, sums) => {
    found.set(path, sums);
  });
  expect(found.get(pooler)!.count).toBe(rows);
  expect(found.get(pooler)!.products).toHaveLength(sizeOf([inDim, inDim]));
  expect(found.get(query)!.count).toBe(4 * rows);
});
