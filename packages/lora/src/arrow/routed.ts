import { type Adapted, noWeight } from '@peftjs/core';
import {
  abs,
  add,
  type Executor,
  greaterEqual,
  matmul,
  mul,
  PeftError,
  select,
  slice,
  softmax,
  type Tensor,
  topK,
  variable,
} from '@peftjs/tensor';
import type { Linear, Model, Path } from '@peftjs/transformer';
import { Matrix } from 'ml-matrix';
import { type Factors, factorsOf } from '../algebra/factors.ts';
import { productSvd } from '../algebra/truncated-svd.ts';

/** The experts' tensors of one layer. */
interface Routing {
  /** vₑ, row by row: [experts, in]. */
  readonly prototypes: Tensor;
  /** All A, one below the other, and all B, side by side: [ranks, in], [out, ranks]. */
  readonly a: Tensor;
  readonly b: Tensor;
  /** The scale of each expert at its own ranks, 0 elsewhere: [experts, ranks]. */
  readonly scales: Tensor;
}

const constantOf = (name: string, m: Matrix): Tensor =>
  variable(name, [m.rows, m.columns], Float32Array.from(m.to1DArray()));

const routingOf = (path: Path, experts: readonly Factors[]): Routing => {
  const name = (part: string): string => `${path}.arrow_${part}`;
  const first = experts.map(({ a, b }) => productSvd({ a, b }, { rank: 1 }).a.getRow(0));
  const ranks = experts.flatMap(({ a, scale }, e) => Array.from({ length: a.rows }, () => [e, scale] as const));
  const scales = Matrix.zeros(experts.length, ranks.length);
  for (const [i, [e, scale]] of ranks.entries()) scales.set(e, i, scale);
  return {
    prototypes: constantOf(name('prototypes'), new Matrix(first)),
    a: constantOf(name('A'), new Matrix(experts.flatMap(({ a }) => a.to2DArray()))),
    b: constantOf(name('B'), new Matrix(experts.flatMap(({ b }) => b.transpose().to2DArray())).transpose()),
    scales: constantOf(name('scales'), scales),
  };
};

const route = (
  base: Linear,
  path: Path,
  { prototypes, a, b, scales }: Routing,
  { k, temperature }: { readonly k: number; readonly temperature: number },
): Linear => ({
  ...base,
  apply: (x, call) => {
    const scores = abs(matmul(x, prototypes, { transposeB: true })); // [..., experts]
    const [largest] = topK(scores, { k });
    const chosen = greaterEqual(scores, slice(largest, { axis: -1, start: k - 1, end: k }));
    const weights = softmax(select(chosen, mul(scores, 1 / temperature), -1e30));
    const low = mul(matmul(x, a, { transposeB: true }), matmul(weights, scales)); // [..., ranks]
    return add(base.apply(x, call), matmul(low, b, { transposeB: true }));
  },
  dense: noWeight('arrow', path, 'depends on its input'),
});

/** The experts without the mean of the general ones, factor by factor. */
const withoutGeneral = (path: Path, experts: readonly Factors[], general: readonly Factors[]): readonly Factors[] => {
  if (general.length === 0) return experts;
  const odd = [...experts, ...general].find(({ a }) => a.rows !== general[0]!.a.rows);
  if (odd)
    throw new PeftError(
      'bad-option',
      `arrow: ${path}: adapters have ranks ${odd.a.rows} and ${general[0]!.a.rows}; general ones need the rank of the experts`,
    );
  const mean = (part: 'a' | 'b'): Matrix =>
    general
      .map((of) => of[part])
      .reduce((sum, m) => Matrix.add(sum, m))
      .mul(1 / general.length);
  const [a, b] = [mean('a'), mean('b')];
  return experts.map((of) => ({ ...of, a: Matrix.sub(of.a, a), b: Matrix.sub(of.b, b) }));
};

/** The base with every adapted layer routed. See `arrow`. */
export const routed = async <M extends Model>(
  experts: readonly Adapted<M>[],
  general: readonly Adapted<M>[],
  { executor, topK: k, temperature }: { executor: Executor; topK: number; temperature: number },
): Promise<M> => {
  const { base } = experts[0]!;
  const all: ReadonlyMap<Path, Factors>[] = [];
  for (const [i, adapted] of [...experts, ...general].entries())
    all.push(await factorsOf(`arrow: adapter ${i}`, adapted, executor));
  const paths = [...all[0]!.keys()];
  const unlike = all.findIndex((own) => own.size !== paths.length || paths.some((path) => !own.has(path)));
  if (unlike >= 0)
    throw new PeftError(
      'bad-option',
      `arrow: adapter ${unlike} changes other layers than the first, ${[...all[unlike]!.keys()].slice(0, 3).join(', ')}, …; give adapters with one target`,
    );
  const table = paths.find((path) => !base.linears.has(path));
  if (table) throw new PeftError('bad-option', `arrow: ${table} is an embedding; give adapters of linear layers alone`);
  const linears = paths.map((path) => {
    const own = all.map((of) => of.get(path)!);
    const left = withoutGeneral(path, own.slice(0, experts.length), own.slice(experts.length));
    return [path, route(base.linears.get(path)!, path, routingOf(path, left), { k, temperature })] as const;
  });
  return base.with({ linears: new Map(linears) }) as M;
};
