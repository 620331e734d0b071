import type { Examples } from '@peftjs/core';
import { eachGradient, labelledRows } from '@peftjs/core/collect';
import {
  buildProgram,
  byteSize,
  checkOptions,
  evaluate,
  mul,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type Rules,
  type Tensor,
  variable,
} from '@peftjs/tensor';
import {
  type Linear,
  type Model,
  type Path,
  requireModel,
  type Target,
  type TaskModel,
  targeted,
  targetRule,
} from '@peftjs/transformer';
import { requireRank } from './begun-with.ts';
import type { Weighing } from './weighing.ts';

/** Options of `loftqBase`. */
export interface LoftqBaseOptions extends OnExecutor {
  /** Default: all but the output head. */
  readonly target?: Target;
  /** That of the adapter to come. Default 8. */
  readonly rank?: number;
  /** Rounds T, of which the adapter's start is the last half. Default 5. */
  readonly rounds?: number;
  /** Stop a layer before the round in which its error grows, as LQ-LoRA does. Default false. */
  readonly untilWorse?: boolean;
  /** Bits a value that all layers may take on average, scales included: each gets one of several bases. Default: there is one. */
  readonly budget?: number;
  /** Batches with labels, by which errors count: by the Fisher information of each weight, Σ (∂L/∂w)² over texts. Default: all alike. */
  readonly data?: readonly Examples[];
}

const rules: Rules<LoftqBaseOptions> = {
  ...onExecutor,
  target: targetRule,
  rank: mustBe.count,
  rounds: mustBe.count,
  untilWorse: mustBe.flag,
  budget: mustBe.positive,
  data: mustBe.such('a list of batches, not empty', (v) => Array.isArray(v) && v.length > 0),
};

/** A base that was quantised for the adapter to come. */
export interface LoftqBase<M extends Model> {
  readonly model: M;
  /** By layer, ‖W − Q − B·A‖ / ‖W‖ (Frobenius) with the B·A that `loftq` begins with; 0 for a weight of zeros. With data both norms are of values times √ of their Fisher information. */
  readonly errors: ReadonlyMap<Path, number>;
  /** Bits a value that the layers take, scales included. */
  readonly bits: number;
  /** With data: how rows and columns of layers count, for `loftq({ weighings })`. */
  readonly weighings: ReadonlyMap<Path, Weighing>;
}

/** Bits of all that a layer's weight is stored in. */
const bitsOf = (layer: Linear): number =>
  buildProgram({ outputs: { weight: layer.dense().weight } }).variables.reduce((n, v) => n + 8 * byteSize(v), 0);

/** A layer's weight, and what is needed to store it well. */
interface Wanted {
  readonly path: Path;
  readonly w: import('ml-matrix').Matrix;
  readonly bias: Tensor | null;
  /** √ of the Fisher information, [outDim, inDim]. */
  readonly importance: import('ml-matrix').Matrix | null;
  readonly weighing: Weighing | undefined;
}

interface Stored {
  readonly layer: Linear;
  /** ‖√F ∘ (W − Q − B·A)‖. */
  readonly rest: number;
}

type Rounds = Required<Pick<LoftqBaseOptions, 'rank' | 'rounds' | 'untilWorse'>>;

/** A layer stored in the format of `packed`, in rounds. */
const storeWell = async (
  packed: Linear,
  { path, w, bias, importance, weighing }: Wanted,
  { rank, rounds, untilWorse }: Rounds,
  read: (weight: Tensor) => Promise<Float32Array>,
): Promise<Stored> => {
  const [{ Matrix }, { closestProduct }] = await Promise.all([import('ml-matrix'), import('./weighing.ts')]);
  const { inDim, outDim } = packed;
  const encoded = (values: Float32Array): Linear =>
    packed.encode({ weight: variable(`${path}.weight`, [outDim, inDim], values), bias });
  let best: Stored | null = null;
  let layer = packed;
  for (let round = 1; ; round++) {
    const lost = Matrix.sub(w, Matrix.from1DArray(outDim, inDim, await read(layer.dense().weight)));
    const { b, a } = closestProduct(lost, rank, weighing);
    const product = b.mmul(a);
    const error = Matrix.sub(lost, product);
    const rest = (importance ? error.mul(importance) : error).norm('frobenius');
    if (untilWorse && best && rest >= best.rest) return best;
    best = { layer, rest };
    if (round >= rounds) return best;
    layer = encoded(Float32Array.from(Matrix.sub(w, product).to1DArray()));
  }
};

const requireBases = (model: Model, bases: readonly Model[], { budget, data }: LoftqBaseOptions): void => {
  requireModel('loftqBase', model);
  for (const base of bases) requireModel('loftqBase', base);
  const problem =
    bases.length === 0
      ? 'at least one base is needed, quantised of the model'
      : bases.length > 1 && budget === undefined
        ? 'of several bases each layer gets the one that a budget allows; give budget, in bits a value'
        : data && !('loss' in model)
          ? 'data tell weights apart by a loss; give a model with a task'
          : null;
  if (problem) throw new PeftError('bad-option', `loftqBase: ${problem}`);
};

/**
 * The quantised base of LoftQ's T rounds: each quantises W − B·A, of the B and A that stood for what the round before had lost. `bases` is the model quantised as it is, whose formats stay; the result
 * is another base, which the adapter belongs to: `loftq({ before: model })` over it has the last B and A. Save it with `saveModel`, or make it again in the same way. One layer at a time is on the host, in f64.
 * Li, Yu, Liang, He, Karampatziakis, Chen & Zhao, 2023 (algorithm 1). https://arxiv.org/abs/2310.08659.
 *
 * LQ-LoRA's is `untilWorse` with many rounds; with a `budget` over several bases, `[quantize(model, nf2()), quantize(model, nf4())]`, of which each layer gets one so that Σ ‖W − Q − B·A‖² is least (an integer program, solved
 * by HiGHS: `npm install highs`); with `data` errors count by the Fisher information F, ‖√F ∘ (W − Q − B·A)‖², and `loftq({ before: model, weighings })` begins with the B and A that belong to it.
 * Guo, Greengard, Xing & Kim, 2023. https://arxiv.org/abs/2311.12023, https://github.com/HanGuo97/lq-lora. Throws `no-match`, `bad-option`.
 */
export const loftqBase = async <M extends Model>(
  model: Model,
  bases: M | readonly M[],
  options: LoftqBaseOptions,
): Promise<LoftqBase<M>> => {
  checkOptions('loftqBase', rules, options);
  const all = Array.isArray(bases) ? (bases as readonly M[]) : [bases as M];
  requireBases(model, all, options);
  const { executor, target = 'all-linear', rank = 8, rounds = 5, untilWorse = false, budget, data } = options;
  const [{ Matrix }, { weighingOf }] = await Promise.all([import('ml-matrix'), import('./weighing.ts')]);
  const paths = targeted(all[0]!.linears.keys(), target, 'loftqBase');
  const layersOf = (path: Path): Linear[] => all.map(({ linears }) => linears.get(path)!);
  for (const path of paths) requireRank('loftqBase', path, layersOf(path)[0]!, rank);
  const read = async (weight: Tensor): Promise<Float32Array> =>
    (await evaluate({ values: weight }, { executor }))['values'] as Float32Array;

  const weighings = new Map<Path, Weighing>();
  const found = new Map<Path, { readonly ways: readonly Stored[]; readonly size: number }>();
  const store = async (path: Path, fisher?: Float32Array): Promise<void> => {
    const packed = layersOf(path);
    const { inDim, outDim } = packed[0]!;
    const w = Matrix.from1DArray(outDim, inDim, await read(model.linears.get(path)!.dense().weight));
    const importance = fisher ? Matrix.from1DArray(outDim, inDim, fisher.map(Math.sqrt)) : null;
    const weighing = fisher && weighingOf(fisher, outDim, inDim);
    if (weighing) weighings.set(path, weighing);
    const ways: Stored[] = [];
    for (const layer of packed)
      ways.push(
        await storeWell(
          layer,
          { path, w, bias: layer.dense().bias, importance, weighing },
          { rank, rounds, untilWorse },
          read,
        ),
      );
    found.set(path, { ways, size: (importance ? Matrix.mul(w, importance) : w).norm('frobenius') });
  };
  if (data)
    await eachGradient(
      'loftqBase',
      model as TaskModel,
      paths,
      { executor, data: labelledRows('loftqBase', data, Number.POSITIVE_INFINITY) },
      store,
      (gradient) => mul(gradient, gradient),
    );
  else for (const path of paths) await store(path);

  const costs = paths.map((path) =>
    found.get(path)!.ways.map(({ layer, rest }) => ({ error: rest ** 2, bits: bitsOf(layer) })),
  );
  const values = paths.reduce((n, path) => n + layersOf(path)[0]!.inDim * layersOf(path)[0]!.outDim, 0);
  const choose = async (most: number): Promise<number[]> =>
    (await import('./choose-within.ts')).chooseWithin(costs, values, most);
  const chosen = budget === undefined ? paths.map(() => 0) : await choose(budget);
  const wayOf = (path: Path, i: number): Stored => found.get(path)!.ways[chosen[i]!]!;
  return {
    model: all[0]!.with({ linears: new Map(paths.map((path, i) => [path, wayOf(path, i).layer])) }),
    errors: new Map(
      paths.map((path, i) => [path, wayOf(path, i).rest === 0 ? 0 : wayOf(path, i).rest / found.get(path)!.size]),
    ),
    bits: costs.reduce((n, ways, i) => n + ways[chosen[i]!]!.bits, 0) / values,
    weighings,
  };
};
