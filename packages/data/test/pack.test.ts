import { messageOf } from '@peftjs/tensor/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromArray, type PackOptions, pack, packTokens, pipe, type Row } from '../src/index.ts';
import { failure, obeysStreamLaws, readAll } from './stream-laws.ts';

/** Packing in its plainest form: all tokens in one list. */
const packedPlainly = (documents: readonly number[][], { context, endOfText, keepRest }: PackOptions): number[][] => {
  const all = [endOfText, ...documents.flatMap((ids) => [...ids, endOfText])];
  const rows: number[][] = [];
  for (let at = 0; at + context < all.length; at += context) rows.push(all.slice(at, at + context + 1));
  const rest = all.slice(rows.length * context);
  return keepRest && rest.length > 1 ? [...rows, rest] : rows;
};

const documents = fc.array(fc.array(fc.nat(50), { maxLength: 30 }), { maxLength: 12 });
const options = fc.record({ context: fc.integer({ min: 1, max: 12 }), endOfText: fc.nat(3), keepRest: fc.boolean() });

describe('packing', () => {
  test('is what is got by joining all tokens and cutting them, in memory and as a stream', async () => {
    await fc.assert(
      fc.asyncProperty(documents, options, async (docs, how) => {
        const rows = packedPlainly(docs, how);
        const stream = pipe(fromArray(docs.map((ids): Row => ({ ids: Int32Array.from(ids) }))), pack(how));
        if (rows.length === 0) {
          await messageOf('bad-data', () => packTokens(docs, how));
          return void (await failure('bad-data', stream));
        }
        const packed = packTokens(docs, how);
        expect(packed.context).toBe(how.context);
        expect(packed.rows.map((row) => [...row])).toEqual(rows);
        const streamed = (await obeysStreamLaws(stream)).map(({ ids, labels }) => [[...ids], [...labels]]);
        expect(streamed).toEqual(rows.map((row) => [row.slice(0, -1), row.slice(1)]));
      }),
      { numRuns: 300 },
    );
  });

  test('keeps the labels of documents that have them, and learns nothing of their first token', async () => {
    const rows: Row[] = [
      { ids: Int32Array.of(11, 12, 13), labels: Int32Array.of(-100, 13, 9) },
      { ids: Int32Array.of(21, 22) },
      { ids: Int32Array.of(31, 32), labels: Int32Array.of(32, -100) },
    ];
    const { items } = await readAll(pipe(fromArray(rows), pack({ context: 5, endOfText: 9, keepRest: true })));
    expect(items.map(({ ids, labels }) => [[...ids], [...labels]])).toEqual([
      [
        [9, 11, 12, 13, 9],
        [-100, -100, 13, 9, 21],
      ],
      [
        [21, 22, 9, 31, 32],
        [22, 9, -100, 32, -100],
      ],
    ]);
  });

  test('says of a text that is too short how long it is', async () => {
    expect(() => packTokens([[1, 2]], { context: 8, endOfText: 0 })).toThrow('the text has 4 tokens, a row takes 9');
    const short = pipe(fromArray<Row>([{ ids: Int32Array.of(1, 2) }]), pack({ context: 8, endOfText: 0 }));
    expect(await failure('bad-data', short)).toContain('the text has 4 tokens, a row takes 9');
  });

  test('takes documents of any list of ids, as many as an iterable gives', () => {
    function* several(): Generator<ArrayLike<number>> {
      yield [1, 2];
      yield Int32Array.of(3);
      yield Uint16Array.of(4, 5);
    }
    expect([...packTokens(several(), { context: 8, endOfText: 0 }).rows[0]!]).toEqual([0, 1, 2, 0, 3, 0, 4, 5, 0]);
    const large = Array.from({ length: 200_000 }, (_, i) => i % 7);
    expect(packTokens([large], { context: 4, endOfText: 0 }).rows).toHaveLength(50_000);
  });

  test.each([
    ['ids that are not in a list', [1, 2, 3], 'document 0 is the number 1 where a list of ids is expected'],
    ['ids in an array that are not in a list', Int32Array.of(1, 2), 'document 0 is the number 1'],
    ['texts', ['abc'], 'document 0 is the text "abc"'],
    ['one text', 'abc', 'takes documents, each a list of ids, got the text "abc"'],
    ['nothing', undefined, 'got nothing'],
    ['an object', {}, 'got an object'],
    ['a fraction', [[1], [2, 1.5]], 'document 1: token 1 is the number 1.5'],
    ['NaN', [[Number.NaN]], 'token 0 is the number NaN'],
    ['a negative id', [[-1]], 'token 0 is the number -1'],
    ['an id beyond 32 bits', [[2 ** 31]], 'token 0 is the number 2147483648'],
    ['a text among ids', [[1, '2']], 'token 1 is the text "2"'],
    ['a hole', [[1, undefined, 2]], 'token 1 is nothing'],
    ['fractions in a typed array', [Float32Array.of(1, 0.5)], 'token 1 is the number 0.5'],
    ['a view of bytes', [new DataView(new ArrayBuffer(4))], 'document 0 is a DataView'],
  ])('refuses %s', async (_, given, message) => {
    const how = { context: 2, endOfText: 0 };
    expect(await messageOf('bad-data', () => packTokens(given as never, how))).toContain(message);
  });

  test('of a stream refuses the same, with the place', async () => {
    const packed = (rows: unknown[]) => pipe(fromArray(rows as Row[]), pack({ context: 2, endOfText: 0 }));
    const good = { ids: Int32Array.of(1) };
    expect(await failure('bad-data', packed([good, { ids: Float32Array.of(0.5) }]))).toContain(
      'row 1: ids: token 0 is the number 0.5',
    );
    expect(await failure('bad-data', packed([good, { ids: Int32Array.of(-3) }]))).toContain(
      'row 1: ids: token 0 is the number -3',
    );
    expect(await failure('bad-data', packed([{}]))).toContain('row 0: ids is nothing');
    expect(await failure('bad-data', packed([{ ...good, task: Int32Array.of(1) }]))).toContain('task');
    expect(await failure('bad-data', packed([{ ...good, labels: Int32Array.of(1, 2) }]))).toContain(
      '1 ids and 2 labels',
    );
  });
});
