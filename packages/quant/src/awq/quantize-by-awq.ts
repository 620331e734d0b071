import type { Collecting } from '@peftjs/core/collect';
import {
  abs,
  checkOptions,
  compile,
  constant,
  type Executor,
  evaluate,
  input,
  matmul,
  mul,
  reshape,
  sum,
  type Tensor,
  variable,
} from '@peftjs/tensor';
import { type Linear, type Path, requireModel, type TaskModel, targeted } from '@peftjs/transformer';
import type { QuantFormat } from '../format.ts';
import { type LookOptions, lookRules } from '../look.ts';
import { encodeLinear } from '../packed-linear.ts';
import { scaledLinear, timesColumns } from './scaled-linear.ts';

/** Options of `quantizeByAwq`; a few hundred texts do. */
export type AwqOptions = LookOptions;

/** Exponents that are tried: i / 20 for i below 20. */
const grid = 20;

/** The scales of an exponent: mean |x| to its power, divided by the root of the largest times the least of them. Inputs that are always 0 count as 10⁻⁴. */
const scalesOf = (means: Float32Array, exponent: number): Float32Array => {
  const powers = means.map((m) => Math.max(1e-4, m ** exponent));
  const [least, largest] = [Math.min(...powers), Math.max(...powers)];
  const middle = Math.sqrt(least * largest);
  return powers.map((p) => p / middle);
};

/** The sums of a layer's inputs over data: Σ xxᵀ [in, in], and the mean of |x| [in]. */
export interface InputSums {
  readonly products: Float32Array;
  readonly means: Float32Array;
}

/** The scales by which a weight in the format changes outputs least, ‖(W − Q(W·s)/s)·X‖, of all exponents. */
export const bestScales = async (
  format: QuantFormat,
  name: string,
  weight: Float32Array,
  { products, means }: InputSums,
  executor: Executor,
): Promise<Float32Array> => {
  const inDim = means.length;
  const outDim = weight.length / inDim;
  const h = variable(`${name}.products`, [inDim, inDim], products);
  const e = input('error', [outDim, inDim]);
  const program = await compile({ outputs: { loss: sum(mul(matmul(e, h), e)) } }, { executor });
  let best: { readonly scales: Float32Array; readonly loss: number } | null = null;
  try {
    for (let i = 0; i < grid; i++) {
      const scales = scalesOf(means, i / grid);
      const layer = encodeLinear(format, name, {
        weight: variable(name, [outDim, inDim], timesColumns(weight, scales)),
        bias: null,
      });
      const { values } = await evaluate({ values: layer.dense().weight }, { executor });
      const error = Float32Array.from(weight, (v, j) => v - values![j]! / scales[j % inDim]!);
      const { loss } = await program.run({ error });
      if (best === null || loss![0]! < best.loss) best = { scales, loss: loss![0]! };
    }
  } finally {
    program.close();
    executor.release([h]);
  }
  return best!.scales;
};

/** Σ xxᵀ, Σ |x| and the number of rows of what a layer sees in a pass. */
const sumsOf = (x: Tensor, { inDim }: Linear): Readonly<Record<'products' | 'values' | 'count', Tensor>> => {
  const rows = reshape(x, [-1, inDim]);
  return {
    products: matmul(rows, rows, { transposeA: true }),
    values: sum(abs(rows), { axes: [0] }),
    count: constant(Float32Array.of(rows.shape[0]!), [1]),
  };
};

/**
 * A view of a model whose targeted layers are stored in a format with their columns scaled, so that inputs which are large on average lose less: W ≈ Q(W·s)/s, s = mean|x|^α, α the best of 20 for the layer's outputs on the data. A layer keeps
 * s and divides its inputs by it, where AWQ's files have it in the norm before. Sums over the data are taken in the model as it is, all layers in one pass, on the executor.
 * Lin, Tang, Tang, Yang, Dang, Gan & Han, 2023. https://arxiv.org/abs/2306.00978; as https://github.com/casper-hansen/AutoAWQ has it, without its search for clipping. Throws `no-match`, `bad-option`, `diverged`.
 */
export const quantizeByAwq = async <M extends TaskModel>(
  model: M,
  format: QuantFormat,
  options: AwqOptions,
): Promise<M> => {
  requireModel('quantizeByAwq', model);
  checkOptions('quantizeByAwq', lookRules, options);
  const { executor, data, target = 'all-linear' } = options;
  const { collect, seenBy } = await import('@peftjs/core/collect');
  const paths = targeted(model.linears.keys(), target, 'quantizeByAwq');
  const linears = new Map<Path, Linear>();
  const collecting: Collecting = {
    shapes: ({ inDim }) => ({ products: [inDim, inDim], values: [inDim], count: [1] }),
    terms: (view, some, inputs) => seenBy(view, some, inputs, sumsOf),
  };
  await collect(
    'quantizeByAwq',
    model,
    paths,
    { executor, data },
    collecting,
    async (path, { products, values, count }) => {
      const name = `${path}.weight`;
      const layer = model.linears.get(path)!;
      const { bias, weight } = layer.dense();
      const { floats } = (await evaluate({ floats: weight }, { executor })) as { floats: Float32Array };
      const sums = { products: products!, means: values!.map((v) => v / count![0]!) };
      const scales = await bestScales(format, name, floats, sums, executor);
      const scaled = variable(name, [layer.outDim, layer.inDim], timesColumns(floats, scales));
      linears.set(path, scaledLinear(encodeLinear(format, name, { weight: scaled, bias }), scales, name));
    },
  );
  return model.with({ linears }) as M;
};
