import {
  checkOptions,
  evaluate,
  mustBe,
  type OnExecutor,
  onExecutor,
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
  targeted,
  targetRule,
} from '@peftjs/transformer';
import { requireRank } from './begun-with.ts';

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
}

const rules: Rules<LoftqBaseOptions> = {
  ...onExecutor,
  target: targetRule,
  rank: mustBe.count,
  rounds: mustBe.count,
  untilWorse: mustBe.flag,
};

/** A base that was quantised for the adapter to come. */
export interface LoftqBase<M extends Model> {
  readonly model: M;
  /** By layer, ‖W − Q − B·A‖ / ‖W‖ (Frobenius) with the B·A that `loftq` begins with; 0 for a weight of zeros. */
  readonly errors: ReadonlyMap<Path, number>;
}

/**
 * The quantised base of LoftQ's T rounds: each quantises W − B·A, of the B and A that stood for what the round before had lost. `base` is the model quantised as it is, whose formats stay; the result
 * is another base, which the adapter belongs to: `loftq({ before: model })` over it has the last B and A. Save it with `saveModel`, or make it again in the same way. One layer at a time is on the host, in f64.
 * With `untilWorse` and many rounds it is LQ-LoRA's decomposition: Guo, Greengard, Xing & Kim, 2023, https://arxiv.org/abs/2311.12023.
 * Li, Yu, Liang, He, Karampatziakis, Chen & Zhao, 2023 (algorithm 1). https://arxiv.org/abs/2310.08659. Throws `no-match`, `bad-option`.
 */
export const loftqBase = async <M extends Model>(
  model: Model,
  base: M,
  options: LoftqBaseOptions,
): Promise<LoftqBase<M>> => {
  requireModel('loftqBase', model);
  requireModel('loftqBase', base);
  checkOptions('loftqBase', rules, options);
  const { executor, target = 'all-linear', rank = 8, rounds = 5, untilWorse = false } = options;
  const [{ Matrix }, { truncatedSvd }] = await Promise.all([
    import('ml-matrix'),
    import('../algebra/truncated-svd.ts'),
  ]);
  const linears = new Map<Path, Linear>();
  const errors = new Map<Path, number>();
  for (const path of targeted(base.linears.keys(), target, 'loftqBase')) {
    const [whole, packed] = [model.linears.get(path)!, base.linears.get(path)!];
    const { inDim, outDim } = packed;
    requireRank('loftqBase', path, packed, rank);
    const read = async (weight: Tensor) => {
      const { values } = await evaluate({ values: weight }, { executor });
      return Matrix.from1DArray(outDim, inDim, values!);
    };
    const w = await read(whole.dense().weight);
    const encoded = (values: Float32Array): Linear =>
      packed.encode({ weight: variable(`${path}.weight`, [outDim, inDim], values), bias: packed.dense().bias });
    let best: { readonly layer: Linear; readonly rest: number } | null = null;
    let layer = packed;
    for (let round = 1; ; round++) {
      const lost = Matrix.sub(w, await read(layer.dense().weight));
      const { b, a } = truncatedSvd(lost, { rank });
      const product = b.mmul(a);
      const rest = Matrix.sub(lost, product).norm('frobenius');
      if (untilWorse && best && rest >= best.rest) break;
      best = { layer, rest };
      if (round >= rounds) break;
      layer = encoded(Float32Array.from(Matrix.sub(w, product).to1DArray()));
    }
    linears.set(path, best.layer);
    errors.set(path, best.rest === 0 ? 0 : best.rest / w.norm('frobenius'));
  }
  return { model: base.with({ linears }), errors };
};
