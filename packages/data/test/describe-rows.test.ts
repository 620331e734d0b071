import { messageOf } from '@peftjs/tensor/testing';
import { expect, test } from 'vitest';
import { describeRows, fromArray, ignored, type Row } from '../src/index.ts';

const tokenizer = {
  specials: ['<unk>', '<end>'],
  eosId: 1,
  idOf: (token: string) => ({ '<unk>': 0, '<end>': 1 })[token],
};
const row = (ids: readonly number[], labels: readonly number[]): Row => ({
  ids: Int32Array.from(ids),
  labels: Int32Array.from(labels),
});

test('rows are counted', async () => {
  const rows = [
    row([5, 6, 7], [ignored, 7, 1]),
    row([5, 0, 7, 8], [ignored, ignored, 8, 9]),
    row([5, 6, 7], [ignored, 7, 1]),
    row([5, 6], [ignored, ignored]),
    row([5, 6, 7, 8, 9, 2, 3], [ignored, ignored, ignored, ignored, ignored, 3, 1]),
  ];
  const facts = await describeRows(fromArray(rows), { tokenizer, context: 5 });
  expect(facts).toEqual({
    rows: 5,
    tokens: 19,
    lengths: { least: 2, mean: 3.8, median: 3, p90: 7, p99: 7, most: 7 },
    learnt: 8,
    unlearnt: 1,
    tooLong: 1,
    promptTooLong: 1,
    ends: 3,
    unknown: 1,
    copies: 1,
    warnings: [
      'Nothing is learnt of 1 rows (20 %): all of their labels are −100.',
      'In 1 rows (20 %) what comes before the first token that is learnt is longer than the context of 5 alone. Allow more, or cut the beginning.',
      '1 rows (20 %) are longer than the context of 5; the longest has 7 tokens.',
      '1 tokens (5.3 %) are unknown to the vocabulary: it may be of another language.',
      '1 rows (20 %) are copies of others; `unique` leaves them out.',
    ],
  });
});

test('an end that is never learnt is told; sound rows are told nothing of', async () => {
  const never = await describeRows(fromArray([row([5, 6], [6, 7])]), { tokenizer });
  expect(never.warnings).toHaveLength(1);
  expect(never.warnings[0]).toContain('The end is never learnt');
  const sound = await describeRows(fromArray([row([5, 6], [6, 1]), row([7, 6], [6, 1])]), { tokenizer, context: 2 });
  expect(sound.warnings).toEqual([]);
  // Rows without labels predict each token; without a tokenizer nothing is said of ends.
  const plain = await describeRows(fromArray<Row>([{ ids: Int32Array.of(5, 6, 7) }]), { copies: false });
  expect(plain).toMatchObject({ learnt: 2, ends: null, unknown: null, copies: null, warnings: [] });
});

test('as many rows as are asked for are read, and none is an error', async () => {
  const rows = fromArray([row([5], [6]), row([5], [6]), row([5], [6])]);
  expect((await describeRows(rows, { most: 2 })).rows).toBe(2);
  expect(await messageOf('bad-data', () => describeRows(fromArray<Row>([])))).toContain('there are no rows');
});
