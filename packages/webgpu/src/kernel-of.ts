import { PeftError } from '@peftjs/tensor';
import { ops } from '@peftjs/tensor/executor';
import { type AnyOp, defineOp } from '@peftjs/tensor/op';
import type { Kernel, KernelOf } from './kernel.ts';
import { kernels } from './kernels/table.ts';

const own: unique symbol = Symbol('kernel');

const tabled: ReadonlyMap<unknown, Kernel<string, unknown>> = new Map(
  Object.entries(kernels).map(([name, kernel]) => [ops[name as keyof typeof ops], kernel as Kernel<string, unknown>]),
);

/**
 * An op of your own with its kernel, so that the WebGPU executor runs it: `withKernel(defineOp({ name: 'cube', … }), elementwise('x * x * x'))`.
 * Use what is returned in place of the op.
 */
export const withKernel = <O extends Pick<AnyOp, 'name' | 'inputs'>>(op: O, kernel: KernelOf<O>): O =>
  defineOp({ ...op, name: op.name, [own]: kernel } as unknown as Parameters<typeof defineOp>[0]) as unknown as O;

/** How an op runs on WebGPU. Throws `bad-program` for an op without a kernel. */
export const kernelOf = (op: AnyOp): Kernel<string, unknown> => {
  const kernel = tabled.get(op) ?? (op as { readonly [own]?: Kernel<string, unknown> })[own];
  if (!kernel)
    throw new PeftError(
      'bad-program',
      `${op.name}: the webgpu executor has no kernel for it; give it one by withKernel of @peftjs/webgpu, or express it in ops of @peftjs/tensor`,
    );
  return kernel;
};
