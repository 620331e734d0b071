import type { Binding, KernelPlan } from '../../kernel.ts';
import { type Spec, sizeOf } from '../../shape.ts';

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

/** Two 16-bit elements to a word: an invocation writes both, so f16 needs no device feature. */
const halves = {
  load: (name: string): string =>
    `fn load_${name}(at: u32) -> u32 { return (${name}[at >> 1u] >> ((at & 1u) * 16u)) & 0xffffu; }`,
  store: `
  let i = word * 2u;
  var bits = element(i);
  if (i + 1u < p.size) { bits |= element(i + 1u) << 16u; }
  out0[word] = bits;`,
};

/** One invocation per 32-bit word of the output. Elements travel as bits, so one text serves f32, i32 and u32. */
export const movePlan = ({ out, sources, indices = {}, body, declarations = '', params }: Move): KernelPlan => {
  const { load, store } = out.dtype === 'f16' ? halves : whole;
  const size = sizeOf(out.shape);
  const words = out.dtype === 'f16' ? Math.ceil(size / 2) : size;
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
