import type { Collecting } from '@peftjs/core/collect';
import {
  checkOptions,
  evaluate,
  matmul,
  mustBe,
  PeftError,
  type Rules,
  reshape,
  type Tensor,
  wholeBytes,
} from '@peftjs/tensor';
import { type Linear, type Path, requireModel, type TaskModel, targeted } from '@peftjs/transformer';
import { orderedLinear } from '../checkpoints/ordered-linear.ts';
import { formats, withZeros } from '../checkpoints/zero-points.ts';
import { rowWriter } from '../code-writer.ts';
import { checkBlockSize, type PackedData } from '../format.ts';
import { type LookOptions, lookRules } from '../look.ts';
import { storedLinear } from '../packed-linear.ts';
import { type Rounded, type Rounding, roundColumns } from './round-columns.ts';

/** Options of `quantizeByGptq`; a few hundred texts do. */
export interface GptqOptions extends LookOptions {
  /** Default 4. */
  readonly bits?: 2 | 3 | 4 | 8;
  /** Inputs that share a scale and a zero point; it divides the inputs of each layer. Default 32. */
  readonly groupSize?: number;
  /** Whether the inputs that matter most come first; layers then take their inputs in that order. Default false. */
  readonly actOrder?: boolean;
  /** The share of its mean diagonal that is added to each layer's Σ xxᵀ. Default 0.01. */
  readonly damping?: number;
}

const rules: Rules<GptqOptions> = {
  ...lookRules,
  bits: mustBe.such('2, 3, 4 or 8', (v) => [2, 3, 4, 8].includes(v as number)),
  groupSize: mustBe.count,
  actOrder: mustBe.flag,
  damping: mustBe.positive,
};

/** The paths of each block in turn, then those of none. */
const byBlock = (model: TaskModel, paths: readonly Path[]): Path[][] => {
  const left = new Set(paths);
  const groups = model.paths('block').map((block) => {
    const own = paths.filter((path) => path.startsWith(`${block}.`));
    for (const path of own) left.delete(path);
    return own;
  });
  return [...groups, [...left]].filter((group) => group.length > 0);
};

/** Σ xxᵀ of what a layer sees in a pass. */
const productsOf = (x: Tensor, { inDim }: Linear): { readonly products: Tensor } => {
  const rows = reshape(x, [-1, inDim]);
  return { products: matmul(rows, rows, { transposeA: true }) };
};

const linearOf = (
  path: Path,
  { inDim, outDim, dense }: Linear,
  { codes, scale, zeros, order }: Rounded,
  { bits, groupSize }: Rounding,
): Linear => {
  const format = formats[bits as keyof typeof formats]({ blockSize: groupSize, zeroPoints: 'real' });
  const { planes, put } = rowWriter(format.layout(inDim), outDim);
  for (let row = 0; row < outDim; row++) put(row, codes.subarray(row * inDim, (row + 1) * inDim));
  const data: PackedData = { ...planes, scale, minCodes: zeros };
  const storage = { ...format, parts: withZeros(format) };
  const name = `${path}.weight`;
  const linear = storedLinear(format, name, [outDim, inDim], dense().bias, async () => data, storage);
  return order ? orderedLinear(linear, order, name) : linear;
};

/**
 * A view of a model whose targeted layers GPTQ has rounded to whole numbers with scales and zero points by groups of inputs, so that their outputs for the data stay near: block by block, each seeing what the rounded blocks before it give,
 * Σ xxᵀ of a layer's inputs is summed on the executor and the host rounds in f64 (O(in³ + out·in²) a layer: a minute at 2,048 inputs). What is merged over it is encoded with real zero points.
 * Frantar, Ashkboos, Hoefler & Alistarh, 2022. https://arxiv.org/abs/2210.17323
 * Throws `no-match`; `bad-option` for groups that do not fill the inputs of a layer, all at once; `bad-data` where Σ xxᵀ cannot be inverted; `diverged`.
 */
export const quantizeByGptq = async <M extends TaskModel>(model: M, options: GptqOptions): Promise<M> => {
  requireModel('quantizeByGptq', model);
  checkOptions('quantizeByGptq', rules, options);
  const { executor, data, target = 'all-linear', bits = 4, groupSize = 32, actOrder = false, damping = 0.01 } = options;
  checkBlockSize('quantizeByGptq', groupSize, wholeBytes(`uint${bits}`));
  const paths = targeted(model.linears.keys(), target, 'quantizeByGptq');
  const odd = paths.filter((path) => model.linears.get(path)!.inDim % groupSize > 0);
  if (odd.length > 0)
    throw new PeftError(
      'bad-option',
      `quantizeByGptq: groups of ${groupSize} do not fill the inputs of ${odd.join(', ')}; give a size that divides them`,
    );
  const { collect, seenBy } = await import('@peftjs/core/collect');
  const collecting: Collecting = {
    shapes: ({ inDim }) => ({ products: [inDim, inDim] }),
    terms: (view, some, inputs) => seenBy(view, some, inputs, productsOf),
  };
  const rounding: Rounding = { bits, groupSize, actOrder, damping };
  let view = model;
  for (const group of byBlock(model, paths)) {
    const linears = new Map<Path, Linear>();
    await collect('quantizeByGptq', view, group, { executor, data }, collecting, async (path, { products }) => {
      const layer = model.linears.get(path)!;
      const { weight } = await evaluate({ weight: layer.dense().weight }, { executor });
      linears.set(
        path,
        linearOf(path, layer, roundColumns(path, weight!, products!, layer.outDim, rounding), rounding),
      );
    });
    view = view.with({ linears }) as M;
  }
  return view;
};
