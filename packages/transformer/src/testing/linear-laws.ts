import { grad } from '@peftjs/autograd';
import {
  constant,
  type Executor,
  evaluate,
  isPeftError,
  mul,
  type OnExecutor,
  randomSource,
  reference,
  type Shape,
  sizeOf,
  sum,
  type Tensor,
  uniformValues,
  variable,
} from '@peftjs/tensor';
import { mustBeNear, tolerances } from '@peftjs/tensor/testing';
import { affine, type Dense, type Linear } from '../linear.ts';
import { slopesOf } from './difference.ts';
import type { Law } from './law.ts';
import { noModel } from './no-model.ts';

/** A layer to be checked. */
export interface LinearRow {
  /** A layer, the same each time; its values all different. */
  linear(): Linear;
  /** The executor that holds its values. Default: a new reference. */
  readonly executor?: Executor;
  /** How far values that were stored once may move when they are stored again, as |a − b| / max(1, |b|). Default 0. */
  readonly encodes?: number;
  /**
   * How far its products may lie from those of `dense()`, and its gradient from theirs, as |a − b| / max(1, |b|), where it rounds what it multiplies. Default 0: both to rounding of
   * f32, the gradient by differences.
   */
  readonly rounds?: number;
}

/** Values in [−1, 1), all different. */
const drawn = (name: string, shape: Shape): Tensor =>
  constant(uniformValues(sizeOf(shape), -1, 1, randomSource(11, name)), shape);

/** Throws unless `apply` is x·Wᵀ + b of `dense`, whether one axis stands before the last or two. */
export const mustApplyDense = async (
  name: string,
  layer: Linear,
  dense: Dense,
  { executor, rounds = 0 }: OnExecutor & Pick<LinearRow, 'rounds'>,
): Promise<void> => {
  for (const rows of [[4], [2, 3]]) {
    const x = drawn(name, [...rows, layer.inDim]);
    const { y, z } = await evaluate({ y: layer.apply(x, noModel), z: affine(x, dense) }, { executor });
    const shape = [...rows, layer.outDim];
    mustBeNear(`${name}: apply(x) against x·Wᵀ + b of dense()`, y!, z!, {
      tolerance: rounds || tolerances.rounding,
      shape,
    });
  }
};

/** Throws unless the gradient of x equals differences, of a function of x that is not linear. */
const mustSlope = async (name: string, layer: Linear, executor: Executor): Promise<void> => {
  const x = drawn(name, [3, layer.inDim]);
  const y = layer.apply(x, noModel);
  const loss = sum(mul(mul(y, y), drawn(`${name} weights`, y.shape)));
  const { analytic, numeric } = await evaluate({ ...slopesOf(loss, x, grad(loss, [x])[0]!, name) }, { executor });
  mustBeNear(`${name}: the gradient of x along a random direction against the difference`, analytic!, numeric!, {
    tolerance: tolerances.difference,
    shape: [1],
  });
};

/** Throws unless the gradient of x is near that of the layer's values. */
const mustSlopeAsDense = async (name: string, layer: Linear, executor: Executor, tolerance: number): Promise<void> => {
  const x = drawn(name, [3, layer.inDim]);
  const slope = (y: Tensor): Tensor => grad(sum(mul(y, drawn(`${name} weights`, y.shape))), [x])[0]!;
  const { got, wanted } = await evaluate(
    { got: slope(layer.apply(x, noModel)), wanted: slope(affine(x, layer.dense())) },
    { executor },
  );
  mustBeNear(`${name}: the gradient of x against that of its values`, got!, wanted!, { tolerance, shape: x.shape });
};

/** The values of a layer, computed now. */
const frozen = async ({ weight, bias }: Dense, executor: Executor): Promise<Dense> => {
  const values = await evaluate({ weight, ...(bias && { bias }) }, { executor });
  const stored = (name: string, t: Tensor): Tensor => variable(name, t.shape, values[name]!);
  return { weight: stored('weight', weight), bias: bias && stored('bias', bias) };
};

const mustEncode = async (name: string, layer: Linear, executor: Executor, tolerance: number): Promise<void> => {
  const once = await frozen(layer.encode(await frozen(layer.dense(), executor)).dense(), executor);
  const twice = await frozen(layer.encode(once).dense(), executor);
  for (const part of ['weight', 'bias'] as const) {
    if ((once[part] === null) !== (layer.dense()[part] === null))
      throw new Error(`${name}: encode ${once[part] ? 'adds' : 'drops'} the bias`);
    if (!once[part] || !twice[part]) continue;
    const { a, b } = await evaluate({ a: twice[part], b: once[part] }, { executor });
    mustBeNear(`${name}: ${part} stored again`, a!, b!, { tolerance, shape: once[part].shape });
  }
};

const mustRefuse = (name: string, layer: Linear): void => {
  const wrong = layer.inDim + 1;
  try {
    layer.apply(drawn(name, [2, wrong]), noModel);
  } catch (error) {
    if (isPeftError(error) && error.code === 'bad-shape') return;
    throw new Error(`${name}: x of width ${wrong} must be refused with bad-shape; it threw ${error}`, { cause: error });
  }
  throw new Error(`${name}: it takes x of width ${wrong}, though its inDim is ${layer.inDim}`);
};

const mustHaveSizes = (name: string, { inDim, outDim, ...layer }: Linear): void => {
  const { weight, bias } = layer.dense();
  const [got, wanted] = [`${weight.shape}; ${bias?.shape ?? outDim}`, `${outDim},${inDim}; ${outDim}`];
  if (got !== wanted) throw new Error(`${name}: dense() is of shapes ${got}, its sizes say ${wanted}`);
};

/** The laws of a Linear. */
export const linearLaws = (
  name: string,
  { linear, executor = reference(), encodes = 0, rounds = 0 }: LinearRow,
): readonly Law[] => [
  { name: 'has the sizes that it says', check: async () => mustHaveSizes(name, linear()) },
  {
    name: 'applies what dense() says',
    check: () => mustApplyDense(name, linear(), linear().dense(), { executor, rounds }),
  },
  {
    name: 'hands back the gradient of x',
    check: () =>
      rounds > 0 ? mustSlopeAsDense(name, linear(), executor, rounds) : mustSlope(name, linear(), executor),
  },
  {
    name: 'stores again what it stored, and keeps its bias or none',
    check: () => mustEncode(name, linear(), executor, encodes),
  },
  { name: 'refuses inputs of another width', check: async () => mustRefuse(name, linear()) },
];
