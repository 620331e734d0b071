import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  type MethodFactory,
  oneOf,
  ones,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { add, broadcastTo, concat, cos, mul, neg, PeftError, reshape, sin, slice, type Tensor } from '@peftjs/tensor';

/** Values by pair of outputs: 1 angle and 1 scale, 2 of each, or 4. */
export type RoadVariant = 'road_1' | 'road_2' | 'road_4';

/** Options of `road`. */
export interface RoadOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Default `road_1`. */
  readonly variant?: RoadVariant;
  /** Outputs in a group g, even, which divides the layer's: output i of a group is turned with output i + g/2. Default 64. */
  readonly groupSize?: number;
}

const half = (x: Tensor, axis: number, which: 0 | 1): Tensor => {
  const size = x.shape[axis]! / 2;
  return slice(x, { axis, start: which * size, end: (which + 1) * size });
};

/** The halves of each group of `group` values change places, the second one negated: [..., out], or the rows of [out, in] with `group` · in. */
const turned = (x: Tensor, group: number): Tensor => {
  const grouped = reshape(x, [-1, group]);
  return reshape(concat(neg(half(grouped, 1, 1)), half(grouped, 1, 0), { axis: 1 }), x.shape);
};

/** The columns of a variant's 2×2 matrices, [out] each, of the values [groups, n]: c·α·cos θ and c·α·sin θ. */
const columnsOf = (angles: Tensor, scales: Tensor, variant: RoadVariant, group: number): readonly [Tensor, Tensor] => {
  const flat = (x: Tensor): Tensor => reshape(x, [-1]);
  if (variant === 'road_4') {
    const part = (x: Tensor, which: 0 | 1): Tensor => flat(half(reshape(x, [-1, 2 * group]), 1, which));
    return [mul(part(scales, 0), cos(part(angles, 0))), mul(part(scales, 1), sin(part(angles, 1)))];
  }
  /** Both outputs of a pair have the same value. */
  const shared = (x: Tensor): Tensor => {
    const pairs = reshape(x, [-1, 1, group / 2]);
    return flat(broadcastTo(pairs, [pairs.shape[0]!, 2, group / 2]));
  };
  const [a, s] = variant === 'road_1' ? [shared(angles), shared(scales)] : [angles, scales];
  return [mul(s, cos(a)), mul(s, sin(a))];
};

const sizes = { road_1: 0.5, road_2: 1, road_4: 2 } as const;

/**
 * RoAd: y = R(Wx + b) with R of 2×2 blocks [α·cos θ, −α·sin θ; α·sin θ, α·cos θ] over pairs of outputs. θ is 0 and α 1 at the start. A block has one
 * θ and α (`road_1`), one for each of its rows (`road_2`), or one for each entry (`road_4`). y is turned, so W′ is not formed. Merges. Throws `bad-option`, also when attached to a layer
 * whose outputs don't make groups, and then `no-match`.
 * Liao & Monz, 2024. https://arxiv.org/abs/2409.00119
 */
export const road: MethodFactory<RoadOptions> = defineMethod<RoadOptions>({
  name: 'road',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      variant: oneOf('variant', ['road_1', 'road_2', 'road_4'], 'road_1'),
      groupSize: count('group_size', 64),
    },
    check: ({ groupSize }) =>
      groupSize !== undefined && groupSize % 2 !== 0 ? `groupSize must be even, got ${groupSize}` : null,
    attach: (model, scope, { target, variant, groupSize }) =>
      eachLinear(model, scope, target, 'road', (base, own, path) => {
        const { outDim } = base;
        if (outDim % groupSize !== 0)
          throw new PeftError(
            'bad-option',
            `road: ${path}: groupSize ${groupSize} does not divide its ${outDim} outputs; give one that does`,
          );
        const size = [outDim * sizes[variant]];
        const [first, second] = columnsOf(
          own.param('road_theta', size, zeros),
          own.param('road_alpha', size, ones),
          variant,
          groupSize,
        );
        const turn = (y: Tensor): Tensor => add(mul(y, first), mul(turned(y, groupSize), second));
        return {
          ...base,
          apply: (x, call) => turn(base.apply(x, call)),
          dense: () => {
            const { weight, bias } = base.dense();
            const [c, d] = [reshape(first, [outDim, 1]), reshape(second, [outDim, 1])];
            const rows = turned(weight, groupSize * base.inDim);
            return { weight: add(mul(weight, c), mul(rows, d)), bias: bias && turn(bias) };
          },
        };
      }),
  },
  files: { peftType: 'ROAD', config: () => ({ init_weights: true }) },
  card: {
    about: 'outputs turned and scaled in pairs',
    paper: {
      authors: 'Liao & Monz',
      year: 2024,
      title: '3-in-1: 2D Rotary Adaptation for Efficient Finetuning, Efficient Batching and Composability',
      url: 'https://arxiv.org/abs/2409.00119',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-2,
  },
});
