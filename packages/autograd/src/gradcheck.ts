import { add, buildProgram, constant, input, mul, type Shape, sizeOf, sum, type Tensor } from '@peftjs/tensor';
import { type ConstantNode, interpret, type Node } from '@peftjs/tensor/executor';
import type { Values } from '@peftjs/tensor/op';
import { grad } from './grad.ts';

/** How a gradient check is made. */
export interface GradcheckOptions {
  /** Half the width of the central difference. Default 1e-4. */
  readonly step?: number;
  /** Largest accepted |analytic − numeric| / max(1, |numeric|). Default 1e-5. */
  readonly tolerance?: number;
  /** At most this many entries of each tensor are checked, spread evenly. Default 24. */
  readonly entries?: number;
}

/** One entry where the two gradients differ too much. */
export interface GradMismatch {
  /** Which argument, and which of its entries. */
  readonly argument: number;
  readonly entry: number;
  readonly analytic: number;
  readonly numeric: number;
}

/** A point at which to check: the shape and the values of one argument. */
export interface GradcheckPoint {
  readonly shape: Shape;
  readonly values: Values;
}

/** Weights that tell every output entry apart. */
const cotangent = ({ shape }: Tensor): Tensor =>
  constant(
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.cos(i * 1.7 + 0.3)),
    shape,
  );

const spread = (size: number, entries: number): number[] => {
  const count = Math.min(size, entries);
  return [...new Set(Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * size) / count)))];
};

/**
 * Compares the gradients of `fn` with central differences, (f(x+h) − f(x−h)) / 2h, at a point, in double precision on the definitions of
 * the ops. Outputs of any shape are weighted and summed to one value. Returns the entries that disagree: none, if `fn`'s rules are right.
 */
export const gradcheck = (
  fn: (...args: Tensor[]) => Tensor | readonly Tensor[],
  points: readonly GradcheckPoint[],
  { step = 1e-4, tolerance = 1e-5, entries = 24 }: GradcheckOptions = {},
): GradMismatch[] => {
  const args = points.map(({ shape }, i) => input(`x${i}`, shape));
  const result = fn(...args);
  const outputs: readonly Tensor[] = 'node' in result ? [result] : result;
  const loss = outputs.map((y) => sum(mul(y, cotangent(y)))).reduce((a, b) => add(a, b));
  const grads = grad(loss, args);
  const program = buildProgram({ outputs: { loss } });
  const leaf =
    (values: readonly Values[]) =>
    (node: Node): Values =>
      node.kind === 'input' ? values[Number(node.name.slice(1))]! : Float64Array.from((node as ConstantNode).data);
  const at = points.map((p) => p.values);
  const gradients = buildProgram({ outputs: Object.fromEntries(grads.map((g, i) => [`${i}`, g])) });
  const valueOf = interpret(gradients, leaf(at));
  const lossAt = (argument: number, entry: number, shift: number): number => {
    const moved = at.with(argument, at[argument]!.with(entry, at[argument]![entry]! + shift));
    return interpret(program, leaf(moved))(program.outputs.get('loss')!)[0]!;
  };
  return points.flatMap(({ shape }, argument) =>
    spread(sizeOf(shape), entries).flatMap((entry) => {
      const numeric = (lossAt(argument, entry, step) - lossAt(argument, entry, -step)) / (2 * step);
      const value = valueOf(gradients.outputs.get(`${argument}`)!)[entry]!;
      return Math.abs(value - numeric) <= tolerance * Math.max(1, Math.abs(numeric))
        ? []
        : [{ argument, entry, analytic: value, numeric }];
    }),
  );
};
