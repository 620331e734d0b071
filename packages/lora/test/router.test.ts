import { attach } from '@peftjs/core';
import { constant, evaluate, matmul, reference, softmax, type Tensor } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { meanOf } from '@peftjs/transformer';
import { shake, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { moLora } from '../src/index.ts';

const inputs = { ids: tokens([1, 5, 2, 9], [3, 7, 0, 8]), labels: tokens([5, 2, 9, 1], [7, 0, 8, -100]) };
const path = 'model.layers.0.self_attn.q_proj';

test('balance punishes tokens that all go to few experts, in training alone', async () => {
  const [executor, base] = [reference(), tinyLlama()];
  const made = (balance: number) => attach(base, [moLora({ target: path, experts: 3, topK: 1, balance })]);
  const [plain, balanced] = [made(0), made(0.5)];
  for (const { params } of [plain, balanced]) await shake(params, { executor });
  const seed = constant(Uint32Array.of(1), []);
  const losses = await evaluate(
    { plain: meanOf(plain.loss(inputs, seed)), balanced: meanOf(balanced.loss(inputs, seed)) },
    { executor },
  );

  const seen: Tensor[] = [];
  const layer = base.linears.get(path)!;
  const watched = {
    ...layer,
    apply: (x: Tensor, call: Parameters<typeof layer.apply>[1]) => (seen.push(x), layer.apply(x, call)),
  };
  base.with({ linears: new Map([[path, watched]]) }).logits(inputs.ids);
  const router = balanced.params.get(`${path}.lora_router`)!;
  const { p } = await evaluate({ p: softmax(matmul(seen[0]!, router, { transposeB: true })) }, { executor });
  const rows = Array.from({ length: 8 }, (_, i) => Array.from(p!.slice(3 * i, 3 * i + 3)));
  const term = [0, 1, 2].reduce((sum, e) => {
    const share = rows.filter((row) => row[e] === Math.max(...row)).length / 8;
    return sum + 3 * share * (rows.reduce((n, row) => n + row[e]!, 0) / 8);
  }, 0);
  expect(losses['balanced']![0]! - losses['plain']![0]!).toBeCloseTo(0.5 * term, 5);
  const same = await evaluate(
    { a: plain.model.logits(inputs.ids), b: balanced.model.logits(inputs.ids) },
    { executor },
  );
  expect(same['a']).toEqual(same['b']);
});

test('balance without a choice is refused', async () => {
  expect(await messageOf('bad-option', async () => moLora({ experts: 3, balance: 0.1 }))).toContain('give a topK');
  expect(await messageOf('bad-option', async () => moLora({ experts: 3, topK: 4 }))).toContain('above the 3 experts');
});
