import { attach } from '@peftjs/core';
import { add, evaluate, gather, reference, type Tensor } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import type { Around } from '@peftjs/transformer';
import { tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { pasta } from '../src/index.ts';

test('pasta adds the j-th vector to the j-th special token of each text, and to no other', async () => {
  const [executor, base] = [reference(), tinyLlama()];
  const { model, params } = attach(base, [pasta({ tokens: [3, 7], count: 2 })]);
  const ids = tokens([3, 5, 7, 3, 9], [5, 5, 3, 1, 7], [5, 1, 2, 9, 4]);
  const numbers = tokens([0, -1, 1, -1, -1], [-1, -1, 0, -1, 1], [-1, -1, -1, -1, -1]);
  const block = new Map(
    base.paths('block').map((path): [string, Around<'block'>[]] => {
      const vectors = params.get(`${path}.special_token_embedding`)!;
      return [path, [(x: Tensor, next) => next(add(x, gather(vectors, numbers)))]];
    }),
  );
  const { ours, byHand, plain } = await evaluate(
    { ours: model.logits(ids), byHand: base.with({ around: { block } }).logits(ids), plain: base.logits(ids) },
    { executor },
  );
  expect(ours).toEqual(byHand);
  const third = 2 * 5 * 13;
  expect(ours!.slice(third)).toEqual(plain!.slice(third));
  expect(ours!.slice(0, third)).not.toEqual(plain!.slice(0, third));
});

test('pasta says that it wants special tokens', async () => {
  expect(await messageOf('bad-option', async () => pasta({ tokens: [] }))).toContain('one at least');
});
