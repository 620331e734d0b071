import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  filled,
  flag,
  type Init,
  type MethodFactory,
  normalNoise,
  number,
  type Option,
  type Patch,
  positive,
  type Scope,
  targets,
} from '@peftjs/core';
import {
  add,
  div,
  exp,
  log,
  matmul,
  maximum,
  mean,
  mul,
  PeftError,
  reshape,
  softmax,
  sqrt,
  sub,
  sum,
  type Tensor,
  uniformValues,
  type Variable,
} from '@peftjs/tensor';
import { addTerm, type Slot, slot } from '@peftjs/transformer';
import { addDelta } from '../add-delta.ts';
import { type LoraOptions, loraOptions, lowRank } from '../low-rank.ts';
import { variantConfig, variantFiles } from '../variant-files.ts';
import { dirichletDivergence, gaussianDivergence } from './divergences.ts';

/** Options of `monteclora`. */
export interface MontecloraOptions extends LoraOptions {
  /** Samples of A that a pass takes the weighed mean of. Default 8. */
  readonly samples?: number;
  /** Scale of what is added to A. Default 1e-4. */
  readonly sampleScale?: number;
  /** Concentration of the Dirichlet prior of the weights. Default 0.1. */
  readonly prior?: number;
  /** Weight of the divergences from the priors. Default 1e-5. */
  readonly divergence?: number;
  /** Whether the loss gets the sum of the squared weights, against few that count. Default false. */
  readonly entropy?: boolean;
}

const scaleOption: Option<number> = {
  ...number('monteclora_config.sample_scaler', 1e-4),
  expected: 'a number of at least 0',
  accepts: (v) => Number.isFinite(v) && (v as number) >= 0,
};

/** Penalties that layers leave in a training pass, by their A. */
const penalties: Slot<Map<Variable, Tensor>> = slot('monteclora.penalties');

/** U[0, 1). */
const uniform: Init = ([n], random) => uniformValues(n!, 0, 1, random);

/** The smallest variance, and what keeps logarithms and quotients finite: as in Hugging Face PEFT. */
const [leastVariance, least] = [1e-3, 1e-6];

interface Sampling {
  readonly samples: number;
  readonly sampleScale: number;
  readonly prior: number;
  readonly divergence: number;
  readonly entropy: boolean;
}

/** Noise for A [rank, in] with its penalty, drawn in a training pass; null in evaluation. */
const sampler = (own: Scope, a: Variable, { samples, sampleScale, prior, divergence, entropy }: Sampling) => {
  const [rank, inDim] = a.shape as readonly [number, number];
  const name = (of: string): string => `lora_monteclora_sampler.${of}`;
  const logDeviations = own.param(name('std_prior'), [rank], uniform);
  const logAlpha = own.param(name('expert_weights_prior'), [samples], uniform);
  own.buffer(name('gaussian_var_prior'), [rank, rank], ([n]) =>
    Float32Array.from({ length: n! * n! }, (_, i) => (i % (n! + 1) === 0 ? 1 : 0)),
  );
  own.buffer(name('expert_weights'), [samples], filled(1 / samples));
  return (): { readonly noise: Tensor; readonly penalty: Tensor } | null => {
    const [forA, forVariances, forWeights] = [
      normalNoise(own, [rank, inDim]),
      normalNoise(own, [rank, rank]),
      normalNoise(own, [samples]),
    ];
    if (!forA || !forVariances || !forWeights) return null;
    const scales = exp(mul(logDeviations, 2));
    const alpha = maximum(exp(logAlpha), least);
    // The diagonal of a Wishart matrix of `rank` degrees of freedom: sums of as many squares.
    const drawn = mul(scales, sum(mul(forVariances, forVariances), { axes: [1] }));
    const variances = maximum(drawn, leastVariance); // [rank]
    const center = sub(log(alpha), mean(log(alpha)));
    const spread = add(mul(div(1, alpha), 1 - 2 / samples), mul(sum(div(1, alpha)), 1 / samples ** 2));
    const weights = softmax(add(mul(sqrt(add(maximum(spread, least), least)), forWeights), center)); // [samples]
    const squares = sum(mul(weights, weights));
    const apart = add(
      add(dirichletDivergence(alpha, prior), mul(gaussianDivergence(scales), rank)),
      mul(gaussianDivergence(variances), samples),
    );
    const weighed = mul(apart, divergence);
    // Of independent normal samples the weighed mean is normal: one is drawn, with the length of the weights.
    const deviations = sqrt(mul(variances, squares));
    return {
      noise: mul(mul(reshape(deviations, [rank, 1]), forA), sampleScale),
      penalty: entropy ? add(weighed, squares) : weighed,
    };
  };
};

/** The mean of what layers left in the passes of a step, added to its loss. */
const objective: NonNullable<Patch['objective']> = (inner) => (views, inputs) => {
  const loss = inner(views, inputs);
  const left = views.passes.flatMap((pass) => [...(pass.get(penalties) ?? new Map<Variable, Tensor>()).values()]);
  if (left.length === 0)
    throw new PeftError('bad-program', 'monteclora: no training pass drew samples; its penalty has nothing to go by');
  return addTerm(
    loss,
    div(
      left.reduce((a, b) => add(a, b)),
      left.length,
    ),
  );
};

/**
 * MonteCLoRA: LoRA whose A is, in a training pass, the mean of `samples` drawn around it: A + ε·Σₖ wₖ·Zₖ with rows of Zₖ from N(0, v), v = σ²·χ² the diagonal of a Wishart matrix with `rank` degrees of freedom, and w = softmax of a normal
 * approximation of Dir(α). Trained beside A and B are log σ [rank] and log α [samples], from U(0, 1). The loss gets `divergence`·(KL(Dir(α) ‖ Dir(prior)) + rank·D(σ²) + samples·D(v)), D(v) = ½·Σ(v − log v − 1), and Σ w² with `entropy`, as the mean over layers. In evaluation it is LoRA;
 * what it computes then, and its file, are Hugging Face PEFT's. There log Γ(αᵢ) has the other sign in the first divergence, which may then be negative; here it is the divergence. Merges. Throws as `lora`.
 * Seth et al., 2025. https://arxiv.org/abs/2411.04358
 */
export const monteclora: MethodFactory<MontecloraOptions> = defineMethod<MontecloraOptions>({
  name: 'monteclora',
  formula: {
    merges: true,
    options: {
      ...loraOptions,
      target: targets('target_modules', familyTarget('lora')),
      samples: count('monteclora_config.num_samples', 8),
      sampleScale: scaleOption,
      prior: positive('monteclora_config.dirichlet_prior', 0.1),
      divergence: { ...scaleOption, key: 'monteclora_config.kl_loss_weight', fallback: () => 1e-5 },
      entropy: flag('monteclora_config.use_entropy', false),
    },
    attach: (model, scope, options) => ({
      ...eachLinear(model, scope, options.target, 'monteclora', (base, own, path) => {
        const update = lowRank(base, own, path, options);
        const draw = sampler(own, update.a, options);
        return addDelta(base, {
          apply: (x, call) => {
            const drawn = draw();
            if (!drawn) return update.apply(x, call);
            const { pass } = call;
            const left = pass.get(penalties) ?? new Map<Variable, Tensor>();
            pass.put(penalties, left.set(update.a, drawn.penalty));
            const low = matmul(own.dropout(x, options.dropout), add(update.a, drawn.noise), { transposeB: true });
            return matmul(mul(low, update.scale), update.b, { transposeB: true });
          },
          dense: update.dense,
        });
      }),
      objective,
    }),
  },
  files: { ...variantFiles('monteclora', 'monteclora_config'), config: variantConfig },
  card: {
    about: 'low-rank updates, one half a mean of samples around it in training',
    paper: {
      authors: 'Seth et al.',
      year: 2025,
      title: 'Robust and Efficient Fine-tuning of LLMs with Bayesian Reparameterization of Low-Rank Adaptation',
      url: 'https://arxiv.org/abs/2411.04358',
    },
    learningRate: 3e-4,
    narrowRate: 1e-2,
  },
});
