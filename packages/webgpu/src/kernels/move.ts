import { bytesPerElement, type Spec, sizeOf } from '@peftjs/tensor';
import type { Binding, KernelPlan } from '../kernel.ts';

/** A kernel that moves elements without looking at them. */
export interface Move {
  readonly out: Spec;
  /** Inputs with elements to move, of the output's dtype: each is read through `load_<name>(at: u32) -> u32`. */
  readonly sources: readonly string[];
  /** Other inputs, read as they are. */
  readonly indices?: Readonly<Record<string, 'i32' | 'u32'>>;
  /** Statements that return the bits of output position `i`; 0u is zero in every dtype. */
  readonly body: string;
  /** Functions that the statements call. */
  readonly declarations?: string;
  readonly params?: Readonly<Record<string, number>>;
}

const whole = {
  load: (name: string): string => `fn load_${name}(at: u32) -> u32 { return ${name}[at]; }`,
  store: 'out0[word] = element(word);',
};

/** Small elements, several to a word: an invocation writes all of a word, so they need no device feature. */
const packed = (perWord: number) => {
  const bits = 32 / perWord;
  return {
    load: (name: string): string =>
      `fn load_${name}(at: u32) -> u32 { return extractBits(${name}[at / ${perWord}u], (at % ${perWord}u) * ${bits}u, ${bits}u); }`,
    store: `
  let first = word * ${perWord}u;
  var bits = 0u;
  for (var i = first; i < min(first + ${perWord}u, p.size); i++) { bits |= element(i) << ((i - first) * ${bits}u); }
  out0[word] = bits;`,
  };
};

/** One invocation per 32-bit word of the output. Elements travel as bits, so one text serves f32, i32 and u32. */
export const movePlan = ({ out, sources, indices = {}, body, declarations = '', params }: Move): KernelPlan => {
  const perWord = 4 / bytesPerElement(out.dtype);
  const { load, store } = perWord > 1 ? packed(perWord) : whole;
  const size = sizeOf(out.shape);
  const words = Math.ceil(size / perWord);
  const wgsl = `${sources.map(load).join('\n')}
${declarations}
fn element(i: u32) -> u32 {
${body}
}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let word = group_index(group) * 64u + lane;
  if (word >= p.words) { return; }
  ${store}
}`;
  const bindings: readonly Binding[] = [
    ...sources.map((buffer) => ({ buffer, access: 'read', element: 'u32' }) as const),
    ...Object.entries(indices).map(([buffer, element]) => ({ buffer, access: 'read', element }) as const),
    { buffer: 'out0', access: 'read_write', element: 'u32' },
  ];
  return {
    dispatches:
      size === 0 ? [] : [{ wgsl, bindings, params: { ...params, size, words }, workgroups: Math.ceil(words / 64) }],
  };
};

/** Splits a position in `outer` blocks of `size` rows of `inner` values, for WGSL: `block`, `row` and `column` of `i`. */
export const splitPosition: string = `
  let column = i % p.inner;
  let row = (i / p.inner) % p.rows;
  let block = i / (p.inner * p.rows);`;
