import { type Adapted, attach } from '@peftjs/core';
import { evaluate, type OnExecutor, PeftError, variable } from '@peftjs/tensor';
import { isDenseLinear, type Linear, type Model, type Path } from '@peftjs/transformer';
import { Matrix, QrDecomposition } from 'ml-matrix';
import { lora } from '../lora.ts';
import { type Factors, factorsOf } from './factors.ts';
import { loraOf, stateOf } from './lora-of.ts';
import type { PrincipalLora, PrincipalLoraOptions, PrincipalStart } from './principal-lora.ts';
import { sideBySide } from './side-by-side.ts';
import { type Product, truncatedSvd } from './truncated-svd.ts';

const starts: Readonly<Record<PrincipalStart, (w: Matrix, rank: number, scale: number) => Product>> = {
  pissa: (w, rank, scale) => {
    const { b, a } = truncatedSvd(w, { rank });
    const lengths = b
      .transpose()
      .to2DArray()
      .map((column) => Math.hypot(...column));
    const roots = lengths.map((length) => Math.sqrt(length / scale));
    const directions = lengths.map((length, i) => (length === 0 ? 0 : roots[i]! / length));
    return { b: b.mulRowVector(directions), a: a.mulColumnVector(roots) };
  },
  olora: (w, rank) => {
    const b = new QrDecomposition(w.subMatrix(0, w.rows - 1, 0, rank - 1)).orthogonalMatrix; // the rest of W adds no columns to these
    return { b, a: b.transpose().mmul(w) };
  },
};

/** `principalLora`, once the call is sound. */
export const takenOut = async <M extends Model>(
  base: M,
  { executor, how = 'pissa', target, rank = 8, alpha = 8 }: PrincipalLoraOptions,
): Promise<PrincipalLora<M>> => {
  const method = lora({ ...(target !== undefined && { target }), rank, alpha });
  const scale = alpha / rank;
  const paths = method.settled!(base)!.paths;
  const products = new Map<Path, Product>();
  const rest = new Map<Path, Linear>();
  for (const path of paths) {
    const layer = base.linears.get(path);
    if (!layer || !isDenseLinear(layer))
      throw new PeftError(
        'bad-option',
        `principalLora: ${path} is ${layer ? 'not held as plain floats; start from the model before it is quantised' : 'an embedding, from which nothing is taken out; leave it out of target'}`,
      );
    const { weight, bias } = layer.dense();
    const [out, into] = weight.shape as readonly [number, number];
    if (rank > Math.min(out, into))
      throw new PeftError('bad-option', `principalLora: rank ${rank} is above what ${path} of ${out} × ${into} has`);
    const values = (await evaluate({ weight }, { executor }))['weight'] as Float32Array;
    const w = Matrix.from1DArray(out, into, values);
    const product = starts[how](w, rank, scale);
    products.set(path, product);
    const residual = Matrix.sub(w, product.b.mmul(product.a).mul(scale));
    const own = variable(`${path}.weight`, [out, into], Float32Array.from(residual.to1DArray()));
    rest.set(path, layer.encode({ weight: own, bias }));
  }
  const residual = base.with({ linears: rest, reweighted: true });
  const adapted = attach(residual, [method], { state: stateOf(base, products) });
  return { adapted, ordinary: (on) => ordinaryOf(base, adapted, products, on) };
};

/** [B, −B₀] and [A; A₀]. */
const ordinaryOf = async <M extends Model>(
  base: M,
  adapted: Adapted<M>,
  starting: ReadonlyMap<Path, Product>,
  { executor }: OnExecutor,
): Promise<Adapted<M>> => {
  const now: ReadonlyMap<Path, Factors> = await factorsOf('principalLora', adapted, executor);
  return loraOf(
    base,
    new Map(
      [...now].map(([path, { a, b, scale }]) => {
        const first = starting.get(path)!;
        const joined = sideBySide({ a, b }, { a: first.a, b: Matrix.mul(first.b, -1) });
        return [path, { a: Matrix.mul(joined.a, scale), b: joined.b }];
      }),
    ),
  );
};
