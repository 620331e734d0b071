/** WebAssembly instructions, as bytes; those of an expression leave its value on the stack. */
export type Code = readonly number[];

/** The part of the WebAssembly API that this package uses, which the language's own types don't cover. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: Readonly<Record<string, unknown>> };
};

const unsigned = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)]);

const simd = (opcode: number, ...inputs: readonly Code[]): Code => [...inputs.flat(), 0xfd, ...unsigned(opcode)];

/** A local variable's value. */
export const local = (index: number): Code => [0x20, index];

/** The sum of two addresses. */
export const sum = (a: Code, b: Code): Code => [...a, ...b, 0x6a];

/** Sets a local variable. */
export const setLocal = (index: number, value: Code): Code => [...value, 0x21, index];

/** An f32 in all four lanes. */
export const splat = (x: Code): Code => simd(0x13, x);

/** Arithmetic on four lanes. */
export const sqrt = (x: Code): Code => simd(0xe3, x);
export const add = (a: Code, b: Code): Code => simd(0xe4, a, b);
export const sub = (a: Code, b: Code): Code => simd(0xe5, a, b);
export const mul = (a: Code, b: Code): Code => simd(0xe6, a, b);
export const div = (a: Code, b: Code): Code => simd(0xe7, a, b);

/** Four f32 from memory, at an address plus a fixed offset. */
export const load = (address: Code, offset: number): Code => [...address, 0xfd, 0x00, 4, ...unsigned(offset)];

/** Four f32 into memory. */
export const store = (address: Code, offset: number, value: Code): Code => [
  ...address,
  ...value,
  ...[0xfd, 0x0b, 4, ...unsigned(offset)],
];

/** Runs `body` for the addresses 0, 16, 32, … below `end` that the local variable `at` takes; at least once. */
export const eachVector = (at: number, end: Code, body: Code): Code => [
  ...[0x03, 0x40, ...body],
  ...[...local(at), 0x41, 16, 0x6a, 0x22, at],
  ...[...end, 0x49, 0x0d, 0, 0x0b],
];

const section = (id: number, content: Code): Code => [id, ...unsigned(content.length), ...content];
const exported = (name: string, kind: number): Code => [name.length, ...new TextEncoder().encode(name), kind, 0];
const [i32, f32, v128] = [0x7f, 0x7d, 0x7b] as const;

/** A compiled function over a memory of its own. */
export interface Kernel {
  readonly memory: ArrayBuffer;
  /** Takes the i32, then the f32. */
  run(...numbers: readonly number[]): void;
}

/** The locals that a function takes and has: in this order, with one i32 between the two halves. */
interface Locals {
  readonly ints: number;
  readonly floats: number;
  readonly vectors: number;
}

/**
 * Compiles a function of some i32 and then f32, with an i32 and then four-lane vectors as locals after them, and a memory of `bytes`. Throws a
 * RangeError where there is no such memory to have. https://webassembly.github.io/spec/core/binary/
 */
export const compileKernel = ({ ints, floats, vectors }: Locals, bytes: number, body: Code): Kernel => {
  const parameters = [...Array<number>(ints).fill(i32), ...Array<number>(floats).fill(f32)];
  const code = [2, 1, i32, vectors, v128, ...body, 0x0b];
  const module = Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, parameters.length, ...parameters, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, ...unsigned(Math.ceil(bytes / 2 ** 16))]),
    ...section(7, [2, ...exported('memory', 2), ...exported('run', 0)]),
    ...section(10, [1, ...unsigned(code.length), ...code]),
  ]);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module));
  return {
    memory: (exports['memory'] as { readonly buffer: ArrayBuffer }).buffer,
    run: exports['run'] as Kernel['run'],
  };
};
