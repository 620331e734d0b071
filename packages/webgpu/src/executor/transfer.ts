import { describe, type Spec, sizeOf, type TypedArray } from '@peftjs/tensor';
import { hostArray, mebibytes } from '@peftjs/tensor/executor';
import { captureErrors } from '../device/faults.ts';
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

/** Maps the first bytes of a buffer for reading. What WebGPU has against it rejects, and goes nowhere else. */
export const mapToRead = async (device: GPUDevice, buffer: GPUBuffer, bytes: number): Promise<void> => {
  device.pushErrorScope('validation');
  const mapped = buffer.mapAsync(1, 0, bytes);
  const [outcome] = await Promise.allSettled([mapped, device.popErrorScope()]);
  if (outcome.status === 'rejected') throw outcome.reason;
};

/** Copies something to a buffer and maps that for reading. */
export const copyToRead = async (
  device: GPUDevice,
  {
    what,
    from,
    to,
    bytes,
  }: { readonly what: string; readonly from: Place; readonly to: GPUBuffer; readonly bytes: number },
): Promise<ArrayBuffer> => {
  const { done } = captureErrors(device, what, () => {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from.buffer, from.offset, to, 0, bytes);
    device.queue.submit([encoder.finish()]);
  });
  const [copied, mapped] = await Promise.allSettled([done, mapToRead(device, to, bytes)]);
  for (const outcome of [copied, mapped]) if (outcome.status === 'rejected') throw outcome.reason;
  return to.getMappedRange(0, bytes);
};

/** Reads a tensor out of a buffer, piece by piece. */
export const download = async (device: GPUDevice, buffers: Buffers, source: Place, spec: Spec): Promise<TypedArray> => {
  const data = hostArray(spec.dtype, sizeOf(spec.shape));
  const total = copyBytes(data.byteLength);
  if (total === 0) return data;
  const what = `reading ${describe(spec)}`;
  const most = Math.min(total, pieceBytes);
  const { result: to, done } = captureErrors(device, `${what}, ${mebibytes(most)}`, () =>
    buffers.allocate('staging', 'readback', most, usage.mapRead | usage.copyTarget),
  );
  try {
    await done;
    for (let at = 0; at < total; at += pieceBytes) {
      const bytes = Math.min(pieceBytes, total - at);
      const from = { buffer: source.buffer, offset: source.offset + at };
      const mapped = await copyToRead(device, { what, from, to, bytes });
      const wanted = Math.min(bytes, data.byteLength - at);
      new Uint8Array(data.buffer).set(new Uint8Array(mapped, 0, wanted), at);
      to.unmap();
    }
  } finally {
    buffers.free(to);
  }
  return data;
};
