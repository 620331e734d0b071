import { sizeOf } from '@peftjs/tensor';
import type { Rule } from './rule.ts';

interface Axes {
  readonly axes: readonly number[];
}

const reduce =
  (type: string): Rule<'x', Axes> =>
  ({ g, x, out }, { axes }) => {
    const wide = x.type === 'uint32' ? g.cast(x, 'int64') : x;
    return g.cast(g.node(type, [wide, g.ints(axes)], out.shape, { keepdims: 1 }), x.type);
  };

export const sum: Rule<'x', Axes> = (t, attrs) =>
  sizeOf(t.x.shape) === 0 ? t.g.zeros(t.out) : reduce('ReduceSum')(t, attrs);
export const mean: Rule<'x', Axes> = reduce('ReduceMean');
export const max: Rule<'x', Axes> = reduce('ReduceMax');

/** total + Σ x². */
export const add_squares: Rule<'total' | 'x'> = ({ g, total, x }) => {
  const size = sizeOf(x.shape);
  if (size === 0) return g.node('Identity', [total], []);
  const squares = g.node('ReduceSumSquare', [g.reshape(x, [size]), g.ints([0])], [], { keepdims: 0 });
  return g.node('Add', [total, squares], []);
};

export const softmax: Rule<'x'> = ({ g, x }) => g.node('Softmax', [x], x.shape, { axis: -1 });
export const log_softmax: Rule<'x'> = ({ g, x }) => g.node('LogSoftmax', [x], x.shape, { axis: -1 });
