import { crc32c, masked } from './crc32c.ts';
import type { Scalars } from './logger.ts';

const text = new TextEncoder();

const varint = (value: number): number[] => {
  const bytes: number[] = [];
  let rest = value;
  // Not by shifts: steps may be more than 2³¹.
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return [...bytes, rest];
};

/** A field of a protocol buffer that is bytes: a text or a message. */
const field = (number: number, bytes: Iterable<number>): number[] => {
  const content = [...bytes];
  return [...varint(number * 8 + 2), ...varint(content.length), ...content];
};

const float = (value: number): Uint8Array => new Uint8Array(new Float32Array([value]).buffer);

const double = (value: number): Uint8Array => new Uint8Array(new Float64Array([value]).buffer);

/**
 * A record of TensorFlow's files: length (u64), its checksum, the bytes, their checksum; little-endian. https://www.tensorflow.org/tutorials/load_data/tfrecord
 */
const record = (bytes: Uint8Array): Uint8Array => {
  const out = new Uint8Array(bytes.length + 16);
  const view = new DataView(out.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint32(8, masked(crc32c(out.subarray(0, 8))), true);
  out.set(bytes, 12);
  view.setUint32(bytes.length + 12, masked(crc32c(bytes)), true);
  return out;
};

/** The first record of a file of events. `time` in seconds since 1970. */
export const versionEvent = (time: number): Uint8Array =>
  record(Uint8Array.from([9, ...double(time), ...field(3, text.encode('brain.Event:2'))]));

/**
 * Numbers of a step as a record of a file of events: the messages `Event { wall_time, step, summary }` and `Summary { value { tag, simple_value } }`.
 * https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto
 */
export const scalarEvent = (time: number, step: number, scalars: Scalars): Uint8Array => {
  const values = Object.entries(scalars).flatMap(([tag, value]) =>
    field(1, [...field(1, text.encode(tag)), 21, ...float(value)]),
  );
  return record(Uint8Array.from([9, ...double(time), 16, ...varint(step), ...field(5, values)]));
};
