import { hostArray, type TypedArray } from '../dtype.ts';
import { type Spec, sizeOf } from '../shape.ts';
import { type Buffers, type Place, usage } from './buffers.ts';

/** Bytes written or read at a time: what the driver stages stays small. */
const pieceBytes = 2 ** 25;

/** Writes host data to a place. WebGPU moves whole words; a last half word is padded. */
export const writeBuffer = (
  queue: GPUQueue,
  { buffer, offset }: Place,
  data: TypedArray,
  from = 0,
  bytes: number = data.byteLength,
): void => {
  const whole = bytes - (bytes % 4);
  if (whole > 0) queue.writeBuffer(buffer, offset + from, data.buffer as ArrayBuffer, data.byteOffset + from, whole);
  if (whole === bytes) return;
  const rest = new Uint8Array(4);
  rest.set(new Uint8Array(data.buffer, data.byteOffset + from + whole, bytes - whole));
  queue.writeBuffer(buffer, offset + from + whole, rest);
};

/** Writes large host data piece by piece, waiting for the device in between. */
export const upload = async (queue: GPUQueue, place: Place, data: TypedArray): Promise<void> => {
  for (let at = 0; at < data.byteLength; at += pieceBytes) {
    if (at > 0) await queue.onSubmittedWorkDone();
    writeBuffer(queue, place, data, at, Math.min(pieceBytes, data.byteLength - at));
  }
};

/** Host data of a tensor out of mapped bytes, copied. */
export const takeBytes = ({ dtype, shape }: Spec, mapped: ArrayBuffer, at: number): TypedArray => {
  const data = hostArray(dtype, sizeOf(shape));
  new Uint8Array(data.buffer).set(new Uint8Array(mapped, at, data.byteLength));
  return data;
};

/** Bytes that a copy of a tensor takes: whole words. */
export const copyBytes = (bytes: number): number => Math.ceil(bytes / 4) * 4;

/** Reads a tensor out of a buffer, piece by piece. */
export const download = async (device: GPUDevice, buffers: Buffers, source: Place, spec: Spec): Promise<TypedArray> => {
  const data = hostArray(spec.dtype, sizeOf(spec.shape));
  const total = copyBytes(data.byteLength);
  if (total === 0) return data;
  const staging = buffers.allocate(
    'staging',
    'readback',
    Math.min(total, pieceBytes),
    usage.mapRead | usage.copyTarget,
  );
  try {
    for (let at = 0; at < total; at += pieceBytes) {
      const bytes = Math.min(pieceBytes, total - at);
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(source.buffer, source.offset + at, staging, 0, bytes);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(1, 0, bytes);
      const wanted = Math.min(bytes, data.byteLength - at);
      new Uint8Array(data.buffer).set(new Uint8Array(staging.getMappedRange(0, bytes), 0, wanted), at);
      staging.unmap();
    }
  } finally {
    buffers.free(staging);
  }
  return data;
};
