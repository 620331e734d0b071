import type { Collecting } from '@peftjs/core/collect';
import {
  abs,
  checkOptions,
  isVariable,
  max,
  mul,
  mustBe,
  type Rules,
  reshape,
  sum,
  type Tensor,
  type Variable,
} from '@peftjs/tensor';
import {
  type Dense,
  type Linear,
  type Path,
  requireModel,
  storedValues,
  type TaskModel,
  targeted,
} from '@peftjs/transformer';
import type { QuantFormat } from '../format.ts';
import { int8 } from '../integers.ts';
import { type LookOptions, lookRules } from '../look.ts';
import { encodeLinear } from '../packed-linear.ts';
import { type Apart, apartLinear, apartOf } from './apart-linear.ts';
import { twoDigits } from './two-digits.ts';

/** Options of `quantizeByLlmInt8`; a few texts do, whose activations say which inputs stand out. */
export interface LlmInt8Options extends LookOptions {
  /** An input stands out where its root mean square is more than this many times the median of the layer's inputs. Default 3. */
  readonly threshold?: number;
  /** A layer multiplies its inputs in two parts, of 8 bits each, where the mean square of its rows' peaks is more than this many times the mean square of their values. Default 64; `Infinity` for none. */
  readonly peaks?: number;
  /** How columns that don't stand out are stored; one that computes in int8. Default `int8({ compute: 'int8' })`; `nf4({ compute: 'int8' })` keeps them in 4 bits. */
  readonly format?: QuantFormat;
}

const rules: Rules<LlmInt8Options> = {
  ...lookRules,
  threshold: mustBe.positive,
  peaks: mustBe.such('a number above 0, or Infinity', (v) => typeof v === 'number' && v > 0),
  format: mustBe.such("a format with compute: 'int8'", (v) => (v as Partial<QuantFormat> | null)?.compute === 'int8'),
};

/** The inputs whose sum of squares is more than threshold² times the median of all. */
export const outliers = (squares: Float32Array, threshold: number): readonly number[] => {
  const median = squares.toSorted()[Math.floor(squares.length / 2)]!;
  return [...squares.keys()].filter((i) => squares[i]! > threshold ** 2 * median);
};

const squared = (x: Tensor): Tensor => mul(x, x);

/** Σ over rows of the square of the largest, times the width; and Σ of all squares. Of normal rows the former is some ten times the latter. */
const peaksOf = (rows: Tensor, inDim: number): Readonly<Record<'largest' | 'all', Tensor>> => ({
  largest: mul(sum(squared(max(abs(rows), { axes: [1] }))), inDim),
  all: sum(squared(rows)),
});

/** Makes a layer of values; of one whose rows peak its inputs go in two digits. Like `layerOf` it is out here, so that layers keep nothing of the model that they were made of. */
const makerOf =
  (format: QuantFormat, peaked: boolean) =>
  (name: string, { weight, bias }: Dense): Linear =>
    peaked
      ? twoDigits(encodeLinear(format, name, { weight, bias: null }), bias)
      : encodeLinear(format, name, { weight, bias });

/** A layer of values, its columns apart that stand out. */
const layerOf = (
  name: string,
  values: Dense,
  taking: Apart | undefined,
  make: (name: string, values: Dense) => Linear,
): Linear => (taking ? apartLinear(name, values, taking, make) : make(name, values));

/** A layer's weight, where an executor holds it as it is. */
const heldOf = (layer: Linear): Variable[] => {
  const weight = storedValues(layer)?.weight;
  return weight && isVariable(weight) ? [weight] : [];
};

/**
 * A view of a model whose targeted layers multiply in 8 bits, inputs too (`int8({ compute: 'int8' })`), but for inputs that stand out in the data: those, and their columns of the weight, stay floats, so that the step of a row is that of its others.
 * Dettmers, Lewis, Belkada & Zettlemoyer, 2022 (LLM.int8()). https://arxiv.org/abs/2208.07339 The paper looks for them in every product, in the largest magnitude; here they are found once, so that programs are compiled once, and a row depends on no other.
 *
 * Not of the paper: where rows still peak, in changing places, as the inputs of an MLP's last layer do, what rounding leaves is rounded and multiplied too (`peaks`), forward alone.
 * Throws `no-match`, `bad-option`, `diverged`.
 */
export const quantizeByLlmInt8 = async <M extends TaskModel>(model: M, options: LlmInt8Options): Promise<M> => {
  requireModel('quantizeByLlmInt8', model);
  checkOptions('quantizeByLlmInt8', rules, options);
  const { executor, data, target = 'all-linear', threshold = 3, peaks = 64 } = options;
  const { format = int8({ compute: 'int8' }) } = options;
  const { collect, seenBy } = await import('@peftjs/core/collect');
  const paths = targeted(model.linears.keys(), target, 'quantizeByLlmInt8');
  /** Sums over data of what `of` makes of the inputs [rows, inDim] of each layer. */
  const look = (
    shapes: Collecting['shapes'],
    of: (rows: Tensor, path: Path, inDim: number) => Readonly<Record<string, Tensor>>,
    take: (path: Path, sums: Readonly<Record<string, Float32Array>>) => void,
  ): Promise<void> => {
    const terms: Collecting['terms'] = (view, some, inputs) => {
      const seen = seenBy(view, some, inputs, (x, { inDim }) => reshape(x, [-1, inDim]));
      return new Map(some.map((path) => [path, of(seen.get(path)!, path, model.linears.get(path)!.inDim)]));
    };
    return collect('quantizeByLlmInt8', model, paths, { executor, data }, { shapes, terms }, take);
  };

  const [takings, takingOf] = [new Map<string, Apart>(), new Map<Path, Apart>()];
  await look(
    ({ inDim }) => ({ squares: [inDim] }),
    (rows) => ({ squares: sum(squared(rows), { axes: [0] }) }),
    (path, { squares }) => {
      const columns = outliers(squares!, threshold);
      if (columns.length === 0) return;
      const { inDim } = model.linears.get(path)!;
      const key = `${inDim}: ${columns}`;
      const taking = takings.get(key) ?? apartOf(`${path}.weight`, inDim, columns);
      takings.set(key, taking);
      takingOf.set(path, taking);
    },
  );

  const linears = new Map<Path, Linear>();
  await look(
    () => ({ largest: [], all: [] }),
    (rows, path, inDim) => {
      const taking = takingOf.get(path);
      return peaksOf(taking ? mul(rows, taking.kept) : rows, inDim);
    },
    (path, { largest, all }) => {
      const peaked = largest![0]! > peaks * all![0]!;
      const layer = model.linears.get(path)!;
      const made = layerOf(
        `${path}.weight`,
        storedValues(layer) ?? layer.dense(),
        takingOf.get(path),
        makerOf(format, peaked),
      );
      linears.set(path, made);
    },
  );
  // The looks have read them; the view does not. None has been written, or it had been refused: whoever reads one gets its first value again.
  executor.release(paths.flatMap((path) => heldOf(model.linears.get(path)!)));
  return model.with({ linears }) as M;
};
