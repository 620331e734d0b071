import {
  defineMethod,
  eachLinear,
  eachNorm,
  flag,
  type Init,
  type MethodFactory,
  type Option,
  type Scope,
  type Target,
  targets,
} from '@peftjs/core';
import { add, mul, normalValues, reshape, sizeOf, type Tensor } from '@peftjs/tensor';
import type { Linear, Model, Path } from '@peftjs/transformer';

/** Options of `ssf`. */
export interface SsfOptions {
  /** Which linear layers. Default: all but the output head. */
  readonly target?: Target;
  /** Whether all norms are followed by a scale and a shift too. Default true. */
  readonly norms?: boolean;
  /** Whether the token embedding is; of a model that reads pictures, the layer that embeds their patches. Default true. */
  readonly embedding?: boolean;
  /** Standard deviation of the first values around γ = 1 and β = 0. Default 0.02; with 0 training starts at the base model. */
  readonly noise?: number;
}

const deviation: Option<number> = {
  key: 'init_std',
  fallback: () => 0.02,
  expected: 'a number of at least 0',
  accepts: (v) => Number.isFinite(v) && (v as number) >= 0,
};

const around =
  (mean: number, std: number): Init =>
  (shape, random) =>
    normalValues(sizeOf(shape), std, random).map((v) => mean + v);

const scaleAndShift = (own: Scope, dim: number, noise: number): { readonly scale: Tensor; readonly shift: Tensor } => ({
  scale: own.param('ssf_scale', [dim], around(1, noise)),
  shift: own.param('ssf_shift', [dim], around(0, noise)),
});

/** x⊙γ + β; β alone where there is nothing, as a layer without a bias gets one. */
const moved = (x: Tensor | null, scale: Tensor, shift: Tensor): Tensor => (x ? add(mul(x, scale), shift) : shift);

/** The token embeddings of the towers in sight; one that towers share is there once. */
const tokenTables = (model: Model): readonly Path[] => {
  const inSight = new Set(model.paths('embed'));
  return model.towers.flatMap(({ paths, tokenTable }) =>
    tokenTable !== null && paths('embed').some((path) => inSight.has(path)) ? tokenTable : [],
  );
};

/** Makes a new layer of an old one. */
type Wrap = (base: Linear) => Linear;

/** A layer whose output is scaled and shifted. */
const movedLayer = (base: Linear, own: Scope, noise: number): Linear => {
  const { scale, shift } = scaleAndShift(own, base.outDim, noise);
  return {
    ...base,
    apply: (x, call) => add(mul(base.apply(x, call), scale), shift),
    dense: () => {
      const { weight, bias } = base.dense();
      return { weight: mul(weight, reshape(scale, [-1, 1])), bias: moved(bias, scale, shift) };
    },
  };
};

/** The layers that embed the patches of pictures, moved. */
const movedPatches = (model: Model, scope: Scope, noise: number): readonly (readonly [Path, Wrap])[] =>
  model.parts(['patch']).map(({ path }) => [path, (base) => movedLayer(base, scope.at(path), noise)]);

/**
 * SSF: y = γ⊙op(x) + β after every linear layer, norm and the token embedding, or the layer that embeds the patches of a picture, γ and β of shape [out]; γ from N(1, noise²), β from
 * N(0, noise²) as the authors' code, so the model is not quite the base before training. Merges: into weights, biases (a layer without
 * one gets one), norms and the embedding's table. Throws `bad-option`, and when attached `no-match`.
 * Lian et al., 2022. https://arxiv.org/abs/2210.08823
 */
export const ssf: MethodFactory<SsfOptions> = defineMethod<SsfOptions>({
  name: 'ssf',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      norms: flag('norms', true),
      embedding: flag('embedding', true),
      noise: deviation,
    },
    attach: (model, scope, { target, norms, embedding, noise }) => ({
      linear: new Map([
        ...eachLinear(model, scope, target, 'ssf', (base, own) => movedLayer(base, own, noise)).linear!,
        ...(embedding ? movedPatches(model, scope, noise) : []),
      ]),
      ...(norms &&
        model.norms.size > 0 &&
        eachNorm(
          model,
          scope,
          () => true,
          'ssf',
          (base, own) => {
            const { scale, shift } = scaleAndShift(own, base.dim, noise);
            return base.encode({ weight: mul(base.weight, scale), bias: moved(base.bias, scale, shift) });
          },
        )),
      ...(embedding && {
        embedding: new Map(
          tokenTables(model).map((path) => [
            path,
            (base) => {
              const { scale, shift } = scaleAndShift(scope.at(path), base.dim, noise);
              return {
                ...base,
                weight: moved(base.weight, scale, shift),
                apply: (ids, call) => moved(base.apply(ids, call), scale, shift),
              };
            },
          ]),
        ),
      }),
    }),
  },
  files: {
    peftType: 'PEFTJS_SSF',
  },
  card: {
    about: 'a scale and a shift of every output',
    paper: {
      authors: 'Lian et al.',
      year: 2022,
      title: 'Scaling & Shifting Your Features: A New Baseline for Efficient Model Tuning',
      url: 'https://arxiv.org/abs/2210.08823',
    },
    learningRate: 1e-2,
  },
});
