import type { Collecting } from '@peftjs/core/collect';
import { checkOptions, mul, mustBe, type Rules, reshape, sum } from '@peftjs/tensor';
import { type Dense, type Linear, type Path, requireModel, type TaskModel, targeted } from '@peftjs/transformer';
import type { QuantFormat } from '../format.ts';
import { int8 } from '../integers.ts';
import { type LookOptions, lookRules } from '../look.ts';
import { encodeLinear } from '../packed-linear.ts';
import { type Apart, apartLinear, apartOf } from './apart-linear.ts';

/** Options of `quantizeByLlmInt8`; a few texts do, whose activations say which inputs stand out. */
export interface LlmInt8Options extends LookOptions {
  /** An input stands out where its root mean square is more than this many times the median of the layer's inputs. Default 6. */
  readonly threshold?: number;
  /** How columns that don't stand out are stored; one that computes in int8. Default `int8({ compute: 'int8' })`; `nf4({ compute: 'int8' })` keeps them in 4 bits. */
  readonly format?: QuantFormat;
}

const rules: Rules<LlmInt8Options> = {
  ...lookRules,
  threshold: mustBe.positive,
  format: mustBe.such("a format with compute: 'int8'", (v) => (v as Partial<QuantFormat> | null)?.compute === 'int8'),
};

/** The inputs whose sum of squares is more than threshold² times the median of all. */
export const outliers = (squares: Float32Array, threshold: number): readonly number[] => {
  const median = squares.toSorted()[Math.floor(squares.length / 2)]!;
  return [...squares.keys()].filter((i) => squares[i]! > threshold ** 2 * median);
};

/**
 * A view of a model whose targeted layers multiply in 8 bits, inputs too (`int8({ compute: 'int8' })`), but for inputs that stand out in the data: those, and their columns of the weight, stay floats, so that the step of a row is that of its others.
 * Dettmers, Lewis, Belkada & Zettlemoyer, 2022 (LLM.int8()). https://arxiv.org/abs/2208.07339 The paper looks for them in every product, in the largest magnitude; here they are found once, so that programs are compiled once, and a row depends on no other.
 * Throws `no-match`, `bad-option`, `diverged`.
 */
export const quantizeByLlmInt8 = async <M extends TaskModel>(model: M, options: LlmInt8Options): Promise<M> => {
  requireModel('quantizeByLlmInt8', model);
  checkOptions('quantizeByLlmInt8', rules, options);
  const { executor, data, target = 'all-linear', threshold = 6, format = int8({ compute: 'int8' }) } = options;
  const { collect, seenBy } = await import('@peftjs/core/collect');
  const collecting: Collecting = {
    shapes: ({ inDim }) => ({ squares: [inDim] }),
    terms: (view, paths, inputs) =>
      seenBy(view, paths, inputs, (x, { inDim }) => {
        const rows = reshape(x, [-1, inDim]);
        return { squares: sum(mul(rows, rows), { axes: [0] }) };
      }),
  };
  const paths = targeted(model.linears.keys(), target, 'quantizeByLlmInt8');
  const linears = new Map<Path, Linear>();
  const takings = new Map<string, Apart>();
  await collect('quantizeByLlmInt8', model, paths, { executor, data }, collecting, (path, { squares }) => {
    const columns = outliers(squares!, threshold);
    const layer = model.linears.get(path)!;
    const make = (name: string, values: Dense): Linear => encodeLinear(format, name, values);
    const name = `${path}.weight`;
    if (columns.length === 0) return void linears.set(path, make(name, layer.dense()));
    const key = `${layer.inDim}: ${columns}`;
    const taking = takings.get(key) ?? apartOf(name, layer.inDim, columns);
    takings.set(key, taking);
    linears.set(path, apartLinear(name, layer.dense(), taking, make));
  });
  return model.with({ linears }) as M;
};
