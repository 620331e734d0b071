/// <reference types="@webgpu/types" />
import { bytesPerElement, type DType, type Feeds, type Spec, sizeOf, type TypedArray } from '@peftjs/tensor';
import { byName, hostArray, type OpNode } from '@peftjs/tensor/executor';
import type { AnyOp } from '@peftjs/tensor/op';
import type { Gpu } from '../device/dawn.ts';
import { foldWorkgroups } from '../executor/fold.ts';
import { paramBytes, shaderOf, writeParams } from '../executor/shader.ts';
import type { DeviceFacts, Dispatch } from '../kernel.ts';
import { kernelOf } from '../kernel-of.ts';

/** Bits of a NaN: what buffers hold before a kernel writes them, so that nothing read before it was written goes unseen. */
const poison = 0x7fc12345;

const storage = (gpu: Gpu, bytes: number, data?: TypedArray): GPUBuffer => {
  const size = Math.max(16, Math.ceil(bytes / 4) * 4);
  // COPY_SRC, COPY_DST and STORAGE.
  const buffer = gpu.device.createBuffer({ size, usage: 0x4 | 0x8 | 0x80, mappedAtCreation: true });
  const range = buffer.getMappedRange();
  new Uint32Array(range).fill(poison);
  if (data) new Uint8Array(range).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  buffer.unmap();
  return buffer;
};

const encode = (gpu: Gpu, dispatch: Dispatch, buffers: ReadonlyMap<string, GPUBuffer>): void => {
  const { device } = gpu;
  const { code } = shaderOf(dispatch);
  const module = device.createShaderModule({ code });
  const entries = dispatch.bindings.map(
    ({ access }, binding): GPUBindGroupLayoutEntry => ({
      binding,
      visibility: 0x4,
      buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
    }),
  );
  const uniform: GPUBindGroupLayoutEntry = { binding: entries.length, visibility: 0x4, buffer: { type: 'uniform' } };
  const layout = device.createBindGroupLayout({ entries: [...entries, uniform] });
  const pipeline = device.createComputePipeline({
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module },
  });
  for (const launch of foldWorkgroups(dispatch.workgroups, device.limits.maxComputeWorkgroupsPerDimension)) {
    const view = new DataView(new ArrayBuffer(Math.ceil(paramBytes(dispatch) / 16) * 16));
    writeParams(view, 0, dispatch, launch);
    // COPY_DST and UNIFORM.
    const params = device.createBuffer({ size: view.byteLength, usage: 0x8 | 0x40 });
    device.queue.writeBuffer(params, 0, view.buffer);
    const bound = [...dispatch.bindings.map(({ buffer }) => buffers.get(buffer)!), params];
    const group = device.createBindGroup({
      layout,
      entries: bound.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(launch.x, launch.y);
    pass.end();
    device.queue.submit([encoder.finish()]);
  }
};

const copyBuffer = (gpu: Gpu, from: GPUBuffer, to: GPUBuffer): void => {
  const encoder = gpu.device.createCommandEncoder();
  encoder.copyBufferToBuffer(from, to);
  gpu.device.queue.submit([encoder.finish()]);
};

const readBack = async (gpu: Gpu, buffer: GPUBuffer, dtype: DType, size: number): Promise<TypedArray> => {
  // MAP_READ and COPY_DST.
  const staging = gpu.device.createBuffer({ size: buffer.size, usage: 0x1 | 0x8 });
  copyBuffer(gpu, buffer, staging);
  await staging.mapAsync(0x1);
  const data = hostArray(dtype, size);
  new Uint8Array(data.buffer).set(new Uint8Array(staging.getMappedRange(), 0, data.byteLength));
  return data;
};

/** One run of an op's kernel: which outputs are wanted, and what the kernel is told of the device (to try variants for others). */
export interface KernelRun {
  readonly feeds: Feeds;
  readonly wanted?: readonly boolean[];
  readonly facts?: Partial<DeviceFacts>;
}

/** Runs the kernel of one node by itself, without an executor. Returns the outputs, null for those not wanted. */
export const runKernel = async (
  gpu: Gpu,
  node: OpNode,
  { feeds, wanted, facts }: KernelRun,
): Promise<(TypedArray | null)[]> => {
  const op: AnyOp = node.op;
  const kernel = kernelOf(op);
  if (kernel.kind !== 'dispatch') throw new Error(`${op.name} has no kernel of its own`);
  const inputs = byName(op, node.inputs);
  const outs = node.outs.map((spec, i): Spec | null => ((wanted?.[i] ?? true) ? spec : null));
  const plan = kernel.plan({ inputs, outs }, node.attrs, { ...gpu.facts, ...facts });
  const buffers = new Map<string, GPUBuffer>();
  for (const [name, { shape, dtype }] of Object.entries(inputs))
    buffers.set(name, storage(gpu, sizeOf(shape) * bytesPerElement(dtype), feeds[name]));
  for (const [i, out] of outs.entries())
    if (out) buffers.set(`out${i}`, storage(gpu, sizeOf(out.shape) * bytesPerElement(out.dtype)));
  for (const [name, bytes] of Object.entries(plan.temps ?? {})) buffers.set(name, storage(gpu, bytes));
  for (const [out, name] of Object.entries(plan.startsFrom ?? {}))
    copyBuffer(gpu, buffers.get(name)!, buffers.get(out)!);
  for (const dispatch of plan.dispatches) encode(gpu, dispatch, buffers);
  const results = await Promise.all(
    outs.map((out, i) => out && readBack(gpu, buffers.get(`out${i}`)!, out.dtype, sizeOf(out.shape))),
  );
  for (const buffer of buffers.values()) buffer.destroy();
  gpu.check();
  return results;
};
