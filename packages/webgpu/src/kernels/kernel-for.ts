import type { ops } from '@peftjs/tensor/executor';
import type { KernelOf } from '../kernel.ts';

/** The kernel that an op of `@peftjs/tensor` needs, by its name. */
export type KernelFor<Name extends keyof typeof ops> = KernelOf<(typeof ops)[Name]>;
