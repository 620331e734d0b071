import { expect, test } from 'vitest';
import { type Spans, spanRow } from '../tools/span-rows.ts';

const [endId, startId, firstSentinel] = [100, 101, 102];
const spans: Spans = { share: 0.3, length: 3, firstSentinel, endId, startId };
const text = Uint16Array.from({ length: 64 }, (_, i) => i);

/** The text that a row was made of: each span stands where its token does. */
const whole = (ids: readonly number[], labels: readonly number[]): number[] => {
  const hidden = new Map<number, number[]>();
  let own: number[] = [];
  for (const id of labels.slice(0, -1)) {
    if (id < firstSentinel) own.push(id);
    else hidden.set(id, (own = []));
  }
  return ids.slice(0, -1).flatMap((id) => hidden.get(id) ?? [id]);
};

test.each([0, 1, 2, 3])('spans of visit %i are as many and as long as of all, and with the rest the text', (visit) => {
  const { ids, labels, decoderIds } = spanRow(text, 0, visit, 'spans', spans);
  const [read, written, before] = [ids, labels, decoderIds].map((column) => [...(column as Int32Array)]);
  expect([read!.length, written!.length]).toEqual([64 - 19 + 6 + 1, 19 + 6 + 1]);
  expect([read!.at(-1), written!.at(-1)]).toEqual([endId, endId]);
  expect(whole(read!, written!)).toEqual([...text]);
  expect(before).toEqual([startId, ...written!.slice(0, -1)]);
  expect(spanRow(text, 0, visit, 'spans', spans)).toEqual({ ids, labels, decoderIds });
  const all = spanRow(text, 0, visit, 'text', spans);
  expect(all['ids']).toEqual(ids);
  expect([...(all['labels'] as Int32Array)]).toEqual([...text, endId]);
  const spared = [...(spanRow(text, 0, visit, 'spans', spans, true)['labels'] as Int32Array)];
  expect(spared).toEqual(written!.map((id) => (id < endId ? id : -100)));
});
