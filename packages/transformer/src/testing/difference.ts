import { add, constant, div, mul, normalValues, randomSource, sizeOf, sub, sum, type Tensor } from '@peftjs/tensor';
import type { OpNode } from '@peftjs/tensor/executor';
import { rebuild } from './rebuild.ts';

/** Half the width of a central difference: a power of two, which f32 holds, and so small that it hardly ever steps over a kink. */
const step = 2 ** -18;

/** A gradient along a random direction, and the differences that it should equal; graphs of one value each. */
export interface Slopes {
  /** gradient · d */
  readonly analytic: Tensor;
  /** (f(x + h·d) − f(x − h·d)) / 2h */
  readonly numeric: Tensor;
  /** The same with what is behind a stopGradient held still. */
  readonly numericStopped: Tensor;
}

const isStop = ({ op }: OpNode): boolean => op.name === 'stop_gradient';

/** The slopes of `loss` at a leaf of its graph (a variable, a constant) along a direction drawn by `name`; exact enough in double precision alone. */
export const slopesOf = (loss: Tensor, leaf: Tensor, gradient: Tensor, name: string): Slopes => {
  const d = constant(normalValues(sizeOf(leaf.shape), 1, randomSource(13, name)), leaf.shape);
  const numeric = (keep?: (node: OpNode) => boolean): Tensor => {
    const at = (h: number): Tensor => rebuild(loss, new Map([[leaf.node, add(leaf, mul(d, h))]]), keep);
    return div(sub(at(step), at(-step)), 2 * step);
  };
  return { analytic: sum(mul(gradient, d)), numeric: numeric(), numericStopped: numeric(isStop) };
};
