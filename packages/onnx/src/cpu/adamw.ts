import type { HostArray } from './storage.ts';
import {
  add,
  type Code,
  compileKernel,
  div,
  eachVector,
  type Kernel,
  load,
  local,
  mul,
  setLocal,
  splat,
  sqrt,
  store,
  sub,
  sum,
} from './wasm.ts';

/** Values of each array that are copied at a time: all four parts stay in the second-level cache. */
const block = 2 ** 14;

/** Parameters are the bytes, the addresses of weight, gradient and both moments, then these; each is spread over four lanes. */
const names = ['gradScale', 'beta1', 'share1', 'beta2', 'share2', 'rate', 'rootScale', 'eps', 'decay'] as const;

/** How many of its parameters are i32. */
const ints = 5;

const code = (): Code => {
  const position = ints + names.length;
  const firstSpread = position + 1;
  const spread = Object.fromEntries(names.map((name, i) => [name, local(firstSpread + i)])) as Record<
    (typeof names)[number],
    Code
  >;
  const { gradScale, beta1, share1, beta2, share2, rate, rootScale, eps, decay } = spread;
  const [g, m, v] = [
    firstSpread + names.length,
    firstSpread + names.length + 1,
    firstSpread + names.length + 2,
  ] as const;
  const [weight, grad, m1, v1] = [1, 2, 3, 4].map((base) => sum(local(base), local(position))) as [
    Code,
    Code,
    Code,
    Code,
  ];
  const step = div(mul(rate, local(m)), add(mul(sqrt(local(v)), rootScale), eps));
  return [
    ...names.flatMap((_, i) => setLocal(firstSpread + i, splat(local(ints + i)))),
    ...eachVector(position, local(0), [
      ...setLocal(g, mul(gradScale, load(grad, 0))),
      ...setLocal(m, add(mul(beta1, load(m1, 0)), mul(share1, local(g)))),
      ...setLocal(v, add(mul(beta2, load(v1, 0)), mul(share2, mul(local(g), local(g))))),
      ...store(m1, 0, local(m)),
      ...store(v1, 0, local(v)),
      ...store(weight, 0, sub(load(weight, 0), add(step, mul(decay, load(weight, 0))))),
    ]),
  ];
};

const kernelWith = (bytes: number): Kernel =>
  compileKernel({ ints, floats: names.length, vectors: names.length + 3 }, bytes, code());

let copying: Kernel | undefined;

/** The kernels that have a memory of their own for arrays. */
const kernels = new WeakMap<ArrayBufferLike, Kernel>();

/** Memory for arrays that a step takes where they lie. Throws a RangeError where there is none. */
export const adamwMemory = (bytes: number): ArrayBuffer => {
  const kernel = kernelWith(bytes);
  kernels.set(kernel.memory, kernel);
  return kernel.memory;
};

/** Whether an array's last vector may be written whole: nothing else lies within it. */
const isAligned = ({ byteOffset }: HostArray): boolean => byteOffset % adamwAlignment === 0;

/** Bytes that arrays in such a memory begin at a multiple of. */
export const adamwAlignment = 64;

/**
 * One step over arrays, in place, in f32: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − (rate/c₁·m / (√v/√c₂ + eps) + rate·decay·w) with
 * g = grad·gradScale, nothing at all where gradScale is 0, and hyper = [rate, β₁, β₂, eps, decay, c₁, c₂, gradScale]. Loshchilov & Hutter 2017, https://arxiv.org/abs/1711.05101
 * It goes through a WebAssembly kernel, whose SIMD takes a fifth of the time of a loop in JavaScript where arrays are copied into its memory and back,
 * block by block, and a third of that where all four lie in such a memory (`adamwMemory`).
 */
export const adamwInPlace = (
  weight: HostArray,
  grad: HostArray,
  m: HostArray,
  v: HostArray,
  hyper: HostArray,
): void => {
  // The record's way to skip a step.
  if (hyper[7] === 0) return;
  const [rate, beta1, beta2, eps, decay, correction1, correction2, gradScale] = [...hyper] as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const rootScale = 1 / Math.sqrt(correction2);
  const numbers = [gradScale, beta1, 1 - beta1, beta2, 1 - beta2, rate / correction1, rootScale, eps, rate * decay];
  const all = [weight, grad, m, v];
  const own = kernels.get(weight.buffer);
  if (own && weight.length > 0 && all.every((array) => array.buffer === own.memory && isAligned(array))) {
    own.run(4 * weight.length, ...all.map(({ byteOffset }) => byteOffset), ...numbers);
    return;
  }
  copying ??= kernelWith(16 * block);
  const { memory, run } = copying;
  const arrays = all.map((data, i) => ({ data, part: new Float32Array(memory, 4 * block * i, block) }));
  const bases = all.map((_, i) => 4 * block * i);
  for (let from = 0; from < weight.length; from += block) {
    const size = Math.min(block, weight.length - from);
    for (const { data, part } of arrays) part.set(data.subarray(from, from + size));
    run(4 * size, ...bases, ...numbers);
    for (const { data, part } of arrays) if (data !== grad) data.set(part.subarray(0, size), from);
  }
};
