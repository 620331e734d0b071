import type { Examples } from '@peftjs/core';
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
  mustBe,
  PeftError,
  type Rules,
  reshape,
  sum,
  type Tensor,
  variable,
} from '@peftjs/tensor';
import {
  denseLinear,
  type Linear,
  type Norm,
  type Path,
  requireModel,
  type TaskModel,
  targeted,
} from '@peftjs/transformer';
import type { QuantFormat } from '../format.ts';
import { type LookOptions, lookRules } from '../look.ts';
import { encodeLinear } from '../packed-linear.ts';
import { inputsOf, normGroups } from './norm-groups.ts';
import { scaledLinear, timesColumns } from './scaled-linear.ts';

/** Options of `quantizeByAwq`; a few hundred texts do. */
export interface AwqOptions extends LookOptions {
  /**
   * Where scales go. `inputs`: each layer has its own and divides its inputs. `norms`: into the norm before, as AWQ's files have them (`awqFiles`); the layers that read one norm share theirs, and those that read none (the attention's
   * output, the second of an MLP) are rounded as they are. Default `inputs`.
   */
  readonly scales?: 'inputs' | 'norms';
}

const rules: Rules<AwqOptions> = { ...lookRules, scales: mustBe.oneOf(['inputs', 'norms']) };

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

const floatsOf = async (weight: Tensor, executor: Executor): Promise<Float32Array> =>
  (await evaluate({ weight }, { executor }))['weight'] as Float32Array;

/** Throws `bad-option` where a model with the scales in its norms, still of floats, gives something else than before: a norm is read by more than layers, or scales in another way. */
const checkSame = async (model: TaskModel, scaled: TaskModel, batch: Examples, executor: Executor): Promise<void> => {
  const inputs = inputsOf(batch);
  const [before, after] = [
    await floatsOf(model.outputs(inputs), executor),
    await floatsOf(scaled.outputs(inputs), executor),
  ];
  const size = Math.hypot(...sampled(before));
  const apart = Math.hypot(...sampled(after.map((v, i) => v - before[i]!)));
  if (!(apart <= 1e-3 * size))
    throw new PeftError(
      'bad-option',
      "quantizeByAwq: scales in the norms change what this model gives: its norms are read by more than these layers; leave `scales: 'norms'` out",
    );
};

/** Some of many values, from all over. */
const sampled = (values: Float32Array): Float32Array => {
  const every = Math.ceil(values.length / 10_000);
  return values.filter((_, i) => i % every === 0);
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

/** Visits the layers, each with the sums of its inputs. */
type Visit = (path: Path, sums: InputSums) => Promise<void>;

const eachInput = async (
  model: TaskModel,
  paths: readonly Path[],
  { executor, data }: AwqOptions,
  visit: Visit,
): Promise<void> => {
  const { collect, seenBy } = await import('@peftjs/core/collect');
  const collecting: Collecting = {
    shapes: ({ inDim }) => ({ products: [inDim, inDim], values: [inDim], count: [1] }),
    terms: (view, some, inputs) => seenBy(view, some, inputs, sumsOf),
  };
  await collect('quantizeByAwq', model, paths, { executor, data }, collecting, (path, { products, values, count }) =>
    visit(path, { products: products!, means: values!.map((v) => v / count![0]!) }),
  );
};

/** Scales in the norms. */
const intoNorms = async <M extends TaskModel>(
  model: M,
  format: QuantFormat,
  paths: readonly Path[],
  options: AwqOptions,
): Promise<M> => {
  const { executor, data } = options;
  const groups = normGroups(model, paths, data[0]!);
  const norms = new Map<Path, Norm>();
  const weights = new Map<Path, Float32Array>();
  const weightOf = async (path: Path): Promise<Float32Array> =>
    weights.get(path) ?? (await floatsOf(model.linears.get(path)!.dense().weight, executor));
  const byFirst = new Map(groups.map((group) => [group.layers[0]!, group]));
  await eachInput(model, [...byFirst.keys()], options, async (path, sums) => {
    const { norm, layers } = byFirst.get(path)!;
    const own = await Promise.all(layers.map(weightOf));
    const all = new Float32Array(own.reduce((n, { length }) => n + length, 0));
    for (const [i, values] of own.entries())
      all.set(
        values,
        own.slice(0, i).reduce((n, { length }) => n + length, 0),
      );
    const scales = await bestScales(format, `${norm}.readers`, all, sums, executor);
    for (const [i, layer] of layers.entries()) weights.set(layer, timesColumns(own[i]!, scales));
    const { weight, bias, encode } = model.norms.get(norm)!;
    const divided = async (name: string, t: Tensor): Promise<Tensor> => {
      const values = await floatsOf(t, executor);
      return variable(
        `${norm}.${name}`,
        t.shape,
        values.map((v, j) => v / scales[j]!),
      );
    };
    norms.set(norm, encode({ weight: await divided('weight', weight), bias: bias && (await divided('bias', bias)) }));
  });
  const linears = new Map<Path, Linear>();
  const floats = new Map<Path, Linear>();
  for (const path of paths) {
    const { outDim, inDim, dense } = model.linears.get(path)!;
    const { bias } = dense();
    const weight = variable(`${path}.weight`, [outDim, inDim], await weightOf(path));
    linears.set(path, encodeLinear(format, `${path}.weight`, { weight, bias }));
    if (weights.has(path)) floats.set(path, denseLinear({ weight, bias }));
  }
  await checkSame(model, model.with({ norms, linears: floats }), data[0]!, executor);
  return model.with({ norms, linears, reweighted: true }) as M;
};

/**
 * A view of a model whose targeted layers are stored in a format with their columns scaled, so that inputs which are large on average lose less: W ≈ Q(W·s)/s, s = mean|x|^α, α the best of 20 for the layer's outputs on the data. A layer keeps
 * s and divides its inputs by it, or the norm before does (`scales`). Sums over the data are taken in the model as it is, all layers in one pass, on the executor.
 * Lin, Tang, Tang, Yang, Dang, Gan & Han, 2023. https://arxiv.org/abs/2306.00978; as https://github.com/casper-hansen/AutoAWQ has it, without its search for clipping. Throws `no-match`, `bad-option`, `diverged`.
 */
export const quantizeByAwq = async <M extends TaskModel>(
  model: M,
  format: QuantFormat,
  options: AwqOptions,
): Promise<M> => {
  requireModel('quantizeByAwq', model);
  checkOptions('quantizeByAwq', rules, options);
  const { executor, target = 'all-linear', scales: place = 'inputs' } = options;
  const paths = targeted(model.linears.keys(), target, 'quantizeByAwq');
  if (place === 'norms') return intoNorms(model, format, paths, options);
  const linears = new Map<Path, Linear>();
  await eachInput(model, paths, options, async (path, sums) => {
    const name = `${path}.weight`;
    const layer = model.linears.get(path)!;
    const { bias, weight } = layer.dense();
    const floats = await floatsOf(weight, executor);
    const scales = await bestScales(format, name, floats, sums, executor);
    const scaled = variable(name, [layer.outDim, layer.inDim], timesColumns(floats, scales));
    linears.set(path, scaledLinear(encodeLinear(format, name, { weight: scaled, bias }), scales, name));
  });
  return model.with({ linears }) as M;
};
