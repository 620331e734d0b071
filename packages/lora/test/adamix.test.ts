import { attach } from '@peftjs/core';
import { constant, evaluate, reference } from '@peftjs/tensor';
import { meanOf } from '@peftjs/transformer';
import { shake, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { adaMix } from '../src/index.ts';

const inputs = { ids: tokens([1, 5, 2, 9]), labels: tokens([5, 2, 9, -100]) };

test('adaMix punishes what two passes of drawn copies say otherwise', async () => {
  const [executor, base] = [reference(), tinyLlama()];
  const made = async (consistency: number, experts: number) => {
    const adapted = attach(base, [adaMix({ rank: 2, experts, consistency })]);
    await shake(adapted.params, { executor });
    return adapted;
  };
  const seed = constant(Uint32Array.of(7), []);
  const [plain, consistent] = [await made(0, 3), await made(2, 3)];
  const [p, q] = [0, 1].map((at) => {
    const views: ReturnType<typeof plain.training>[] = [];
    plain.loss(inputs, seed, {
      objective: ({ train }) => {
        views.push(train() as never, train() as never);
        return views[0]!.loss(inputs);
      },
    });
    return views[at]!.logits(inputs.ids);
  });
  const values = await evaluate(
    { p: p!, q: q!, plain: meanOf(plain.loss(inputs, seed)), both: meanOf(consistent.loss(inputs, seed)) },
    { executor },
  );
  const softmax = (logits: readonly number[]): number[] => {
    const exps = logits.map((v) => Math.exp(v));
    const sum = exps.reduce((a, b) => a + b);
    return exps.map((e) => e / sum);
  };
  const rows = (name: 'p' | 'q'): number[][] =>
    [0, 1, 2].map((i) => softmax(Array.from(values[name]!.slice(13 * i, 13 * i + 13))));
  const apart = rows('p').reduce((sum, row, i) => {
    const other = rows('q')[i]!;
    return sum + row.reduce((s, a, k) => s + (a - other[k]!) * Math.log(a / other[k]!), 0);
  }, 0);
  expect(apart).toBeGreaterThan(1e-3);
  expect(values['both']![0]! - values['plain']![0]!).toBeCloseTo((2 / 2) * (apart / 3), 4);
  const alone = [await made(0, 1), await made(2, 1)].map((adapted) => meanOf(adapted.loss(inputs, seed)));
  const same = await evaluate({ a: alone[0]!, b: alone[1]! }, { executor });
  expect(same['a']![0]).toBeCloseTo(same['b']![0]!, 6);
});
