import type { Spec } from '@peftjs/tensor';
import type { Names } from '@peftjs/tensor/op';

/** The properties of a device that a WGSL kernel is built for. */
export interface DeviceFacts {
  readonly f16: boolean;
  readonly subgroups: boolean;
  /** Lanes of a subgroup, where all have the same number of them. */
  readonly subgroupSize?: number;
  /** Whether products by frozen matrices, stored in f16 or packed, may be computed in f16; only where `f16`. Default: they may not. */
  readonly halfProducts?: boolean;
  /** Whether WGSL multiplies four whole numbers at once (`packed_4x8_integer_dot_product`). Default: it does not. */
  readonly dot4?: boolean;
  /** Whether the adapter is a CPU in disguise: registers beat workgroup memory there. */
  readonly software: boolean;
  /** Bytes of workgroup memory. */
  readonly workgroupMemory: number;
  /** Invocations per workgroup, at most. */
  readonly maxInvocations: number;
  /** Bytes that a kernel may bind of one buffer. Default: any number. */
  readonly maxBindingBytes?: number;
  /** The way that was found to be the fastest here, where there are several; undefined as long as it is not known. Default: never known. */
  readonly choose?: (choice: Choice) => string | undefined;
}

/** Several ways to compute the same, of which a device may find out the fastest. Their results may differ in the last bits. */
export interface Choice {
  /** The key of a computation, its sizes rounded: equal keys have the same answer. */
  readonly key: string;
  /** Names of the ways. The first is taken unless another is known to be faster. */
  readonly ways: readonly string[];
  /** One way by itself, to be timed. */
  trial(way: string): Trial;
}

/** Kernels to be timed. */
export interface Trial {
  readonly plan: KernelPlan;
  /** Bytes of what they bind, temporaries apart. */
  readonly buffers: Readonly<Record<string, number>>;
}

/** The specs a kernel is built for: inputs by name, and outputs, null where nobody reads one. */
export interface KernelIo<Input extends string> {
  readonly inputs: { readonly [K in Input]?: Spec };
  readonly outs: readonly (Spec | null)[];
  /** By buffer name, for those that the kernel takes `strided`: elements from one step of an axis to the next. Default: row-major. */
  readonly strides?: Readonly<Record<string, readonly number[]>>;
}

/** A buffer that a dispatch binds: an input's name, `out0`, `out1`, …, or a temporary's. */
export interface Binding {
  readonly buffer: string;
  /** Its name in the WGSL text. Default: the buffer's. */
  readonly as?: string;
  readonly access: 'read' | 'read_write';
  /** The array's element in WGSL: `f32`, `u32`, `vec4<f32>`, `atomic<u32>`. */
  readonly element: string;
  /** The part of the buffer that is bound; `offset` is a multiple of 256. Default: all. */
  readonly window?: { readonly offset: number; readonly bytes: number };
}

/** One compute pass of a kernel. */
export interface Dispatch {
  /** Shown in profiles and errors. Default: the op's name. */
  readonly label?: string;
  /**
   * WGSL with one entry point `main(@builtin(workgroup_id) …)`. The executor declares the bindings, `p` (the
   * parameters), and `fn group_index(id: vec3<u32>) -> u32`, the linear workgroup index however the dispatch was
   * folded.
   */
  readonly wgsl: string;
  readonly bindings: readonly Binding[];
  /**
   * The output that it writes through `emit(i, value)` alone, once for every position; the executor declares that function, with what else
   * is to be computed of the value. The binding stays listed.
   */
  readonly emits?: string;
  /**
   * Fields of `p`: integers as u32, others must be given as `{ f32 }`. Kept out of the text, so one text serves all
   * sizes.
   */
  readonly params?: Readonly<Record<string, number | { readonly f32: number }>>;
  /** Floating-point operations of this pass alone, for profiles. Default: an equal part of what the op has left. */
  readonly flops?: number;
  /** Linear count; the executor folds counts above the device's limit per dimension. */
  readonly workgroups: number;
}

/** The passes of a kernel, in order, and the scratch buffers it needs, in bytes. */
export interface KernelPlan {
  readonly dispatches: readonly Dispatch[];
  readonly temps?: Readonly<Record<string, number>>;
  /**
   * For an output (`out0`), inputs of its size and element type whose storage it may take: no invocation reads them
   * at a position that another may have written. The dispatch then sees one array under the output's name.
   */
  readonly inPlace?: Readonly<Record<string, readonly string[]>>;
  /**
   * For an output, the input of its size that it begins as: the dispatches then write only what differs. Nothing is
   * copied where the output may take the input's storage, as a cache does that is updated in place.
   */
  readonly startsFrom?: Readonly<Record<string, string>>;
}

/** How ops of many small tensors can run as one kernel over the tensors laid end to end; none of them may `emit`. */
export interface Packing {
  /** f32 inputs that are laid end to end: what a kernel does to one position depends on no other, or is summed. Zeros change nothing. */
  readonly along: readonly string[];
  /** Each output and the input `along` that it is the new value of, where the op does nothing else. */
  readonly updates?: Readonly<Record<string, string>>;
  /** The input that an op takes from the one before it, as its only output, where a chain of them comes to one sum. */
  readonly carry?: string;
}

/** How an op runs on WebGPU. */
export type Kernel<Input extends string, A> =
  /** A WGSL expression of the inputs' values at one position (broadcast): chains of them fuse. */
  | { readonly kind: 'elementwise'; readonly body: string | ((attrs: A, out: Spec) => string) }
  /** The same bytes under another shape: no work at all. */
  | { readonly kind: 'view' }
  | {
      readonly kind: 'dispatch';
      /** Whether plans that have a dispatch at all end with one that `emits` the first output. */
      readonly emits?: boolean;
      /** Inputs and outputs (`x`, `out0`) whose axes but the last may lie in any order: transposes then cost nothing, see `KernelIo.strides`. */
      readonly strided?: readonly string[];
      /** Whether many of them can run as one. */
      readonly packs?: Packing;
      plan(io: KernelIo<Input>, attrs: A, device: DeviceFacts): KernelPlan;
    };

/** A kernel that is one expression of the inputs' values, by their names. */
export const elementwise = <A>(body: string | ((attrs: A, out: Spec) => string)): Kernel<never, A> => ({
  kind: 'elementwise',
  body,
});

/** The kernel that a record needs: of its inputs, by its attributes. */
export type KernelOf<O> = O extends {
  readonly inputs: infer In extends Names;
  readonly optional?: infer Opt;
  infer(specs: never, attrs: infer A): unknown;
}
  ? Kernel<In[number] | (Opt extends Names ? Opt[number] : never), A>
  : never;
