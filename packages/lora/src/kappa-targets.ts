import { checkOptions, evaluate, mustBe, type OnExecutor, onExecutor, PeftError, type Rules } from '@peftjs/tensor';
import { type Model, type Path, type Target, targeted } from '@peftjs/transformer';

/** Layers that are looked at, and how many of them are chosen: at most one of `share`, `count`, `threshold`. */
export interface KappaOptions extends OnExecutor {
  /** The layers that are looked at. Default: every linear layer, the head too. */
  readonly among?: Target;
  /** Layers with a longer side are left out. Default 16,384. */
  readonly maxSide?: number;
  /** The share of layers to choose, rounded down, at least one. Default 0.2. */
  readonly share?: number;
  /** How many layers to choose. */
  readonly count?: number;
  /** Choose the layers with κ of at most this. */
  readonly threshold?: number;
}

/** Layers by condition number. */
export interface KappaTargets {
  /** The layers chosen, the lowest κ first: a method's `target`. */
  readonly target: readonly Path[];
  /** κ of every layer that was looked at. */
  readonly kappas: ReadonlyMap<Path, number>;
}

const rules: Rules<KappaOptions> = {
  ...onExecutor,
  among: mustBe.such('a target', () => true), // `targeted` says what is wrong with it
  maxSide: mustBe.count,
  share: mustBe.share,
  count: mustBe.count,
  threshold: mustBe.positive,
};

/**
 * KappaTune's choice of layers: those whose weights have the lowest condition numbers κ = σ_max / (σ_min + 1e-8), where a change disturbs least of what
 * the base knows. As Hugging Face PEFT's `find_kappa_target_modules`. Singular values are computed on the host in f64, one layer after the
 * other: about a second for a side of 600. Throws `bad-option`, also where no layer is left to choose.
 * Use: `lora({ target: (await kappaTargets(model, { executor })).target })`. Ludwig, 2025. https://arxiv.org/abs/2506.16289
 */
export const kappaTargets = async (model: Model, options: KappaOptions): Promise<KappaTargets> => {
  checkOptions('kappaTargets', rules, options);
  const { executor, among = '*', maxSide = 16_384, share, count, threshold } = options;
  if ([share, count, threshold].filter((v) => v !== undefined).length > 1)
    throw new PeftError('bad-option', 'kappaTargets: give one of share, count and threshold');
  const { Matrix, SingularValueDecomposition } = await import('ml-matrix');
  const kappas = new Map<Path, number>();
  for (const path of targeted(model.linears.keys(), among, 'kappaTargets')) {
    const layer = model.linears.get(path)!;
    if (Math.max(layer.inDim, layer.outDim) > maxSide) continue;
    const weight = (await evaluate({ weight: layer.dense().weight }, { executor }))['weight'] as Float32Array;
    const { diagonal } = new SingularValueDecomposition(Matrix.from1DArray(layer.outDim, layer.inDim, weight), {
      autoTranspose: true,
      computeLeftSingularVectors: false,
      computeRightSingularVectors: false,
    });
    kappas.set(path, diagonal[0]! / (diagonal.at(-1)! + 1e-8));
  }
  const sorted = [...kappas].sort(([, one], [, other]) => one - other);
  const chosen =
    threshold !== undefined
      ? sorted.filter(([, kappa]) => kappa <= threshold)
      : sorted.slice(0, count ?? Math.max(1, Math.floor(sorted.length * (share ?? 0.2))));
  if (chosen.length === 0)
    throw new PeftError(
      'bad-option',
      sorted.length === 0
        ? `kappaTargets: no layer has both sides up to ${maxSide}; give a greater maxSide`
        : `kappaTargets: the lowest κ is ${sorted[0]![1].toPrecision(4)} (${sorted[0]![0]}), above threshold ${threshold}; give a greater one`,
    );
  return { target: chosen.map(([path]) => path), kappas };
};
