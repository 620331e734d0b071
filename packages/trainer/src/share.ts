import { bytesOfArray, isObject } from '@peftjs/io';
import { type Executor, sizeOf, type Variable } from '@peftjs/tensor';
import { hostArray } from '@peftjs/tensor/executor';
import type { Group } from './group.ts';

/** The group as if another process were its first. */
const seenFrom = (group: Group, rank: number): Group => ({
  rank: group.rank === rank ? 0 : 1,
  size: group.size,
  allReduce: (values) => group.allReduce(values),
  broadcast: (values) => group.broadcast(values, rank),
});

const oddKey = 'not finite';

/** JSON has no NaN and no Infinity; null in their place would pass for 0. */
const spelt = (_: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? { [oddKey]: String(value) } : value;

const read = (_: string, value: unknown): unknown =>
  isObject(value) && oddKey in value ? Number(value[oddKey]) : value;

/** The value that process 0 has, in all of them: one of JSON. */
export const shareJson = async <T>(value: T, group: Group): Promise<T> => {
  const text = new TextEncoder().encode(group.rank === 0 ? JSON.stringify(value, spelt) : '');
  const length = Float32Array.of(text.length >>> 16, text.length & 0xffff);
  await group.broadcast(length, 0);
  const bytes = new Float32Array(length[0]! * 2 ** 16 + length[1]!);
  if (group.rank === 0) bytes.set(text);
  await group.broadcast(bytes, 0);
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes)), read) as T;
};

/** The values that all processes have, in each of them, by rank. */
export const gatherJson = async <T>(value: T, group: Group): Promise<T[]> => {
  const found: T[] = [];
  for (let rank = 0; rank < group.size; rank++) found.push(await shareJson(value, seenFrom(group, rank)));
  return found;
};

/** Gives variables the values that they have in process 0. */
export const shareVariables = async (
  variables: readonly Variable[],
  executor: Executor,
  group: Group,
): Promise<void> => {
  for (const v of variables) {
    const data = group.rank === 0 ? await executor.read(v) : hostArray(v.dtype, sizeOf(v.shape));
    // Bytes in words, whatever they stand for: nothing adds them up.
    const words = new Float32Array(Math.ceil(data.byteLength / 4));
    const bytes = new Uint8Array(words.buffer, 0, data.byteLength);
    bytes.set(bytesOfArray(data));
    await group.broadcast(words, 0);
    if (group.rank === 0) continue;
    bytesOfArray(data).set(bytes);
    await executor.write(v, data);
  }
};
