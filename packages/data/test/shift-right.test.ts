import { describe, expect, test } from 'vitest';
import { fromArray, pipe, type Row, shiftRight } from '../src/index.ts';
import { failure, readAll } from './stream-laws.ts';

const shifted = async (labels: readonly number[], start: Parameters<typeof shiftRight>[0]): Promise<Row> =>
  (await readAll(pipe(fromArray([{ labels: Int32Array.from(labels) } as Row]), shiftRight(start)))).items[0]!;

describe('shiftRight', () => {
  test('gives a decoder the labels one place to the right, padding where they do not count', async () => {
    const row = await shifted([7, -100, 9, 1], { decoderStartId: 3, padId: 0 });
    expect(row).toEqual({ labels: Int32Array.of(7, -100, 9, 1), decoderIds: Int32Array.of(3, 7, 0, 9) });
    expect((await shifted([7], { decoderStartId: 3, padId: null }))['decoderIds']).toEqual(Int32Array.of(3));
    // Nothing follows the last label, so it needs no token.
    expect((await shifted([7, -100], { decoderStartId: 3, padId: null }))['decoderIds']).toEqual(Int32Array.of(3, 7));
  });

  test('refuses a config without the tokens that it needs, and rows without labels', async () => {
    expect(() => shiftRight({ padId: 0 })).toThrow(/decoderStartId is missing.*decoder_start_token_id/);
    expect(() => shiftRight({ decoderStartId: null, padId: 0 })).toThrow(/decoderStartId is missing/);
    const none = pipe(
      fromArray([{ labels: Int32Array.of(-100, 1) } as Row]),
      shiftRight({ decoderStartId: 0, padId: null }),
    );
    expect(await failure('bad-data', none)).toMatch(/row 0: labels\[0\] is -100, and no padId/);
    const without = pipe(fromArray([{ ids: Int32Array.of(1) } as Row]), shiftRight({ decoderStartId: 0, padId: 0 }));
    expect(await failure('bad-data', without)).toMatch(/row 0: labels is .* where shiftRight takes an Int32Array/);
  });
});
