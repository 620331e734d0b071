import { constant, PeftError, type Tensor } from '@peftjs/tensor';
import type { Rope } from '../config/rope.ts';
import type { Llama3RopeScaling, YarnRopeScaling } from '../config/rope-scaling.ts';

/** Llama 3's rule slows the long waves and leaves the short ones. */
const llama3Factor = (s: Llama3RopeScaling, frequency: number): number => {
  const turns = (s.originalMaxPositions * frequency) / (2 * Math.PI);
  const kept = (turns - s.lowFrequencyFactor) / (s.highFrequencyFactor - s.lowFrequencyFactor);
  const share = Math.min(1, Math.max(0, kept));
  return share + (1 - share) / s.factor;
};

/** The pairs between which YaRN's ramp goes: those that turn `betaFast` and `betaSlow` times within the context of pretraining. */
const yarnRange = (s: YarnRopeScaling, theta: number, headDim: number): readonly [low: number, high: number] => {
  const pairOf = (turns: number): number =>
    (headDim * Math.log(s.originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [low, high] = [pairOf(s.betaFast), pairOf(s.betaSlow)];
  const [first, last] = s.truncate ? [Math.floor(low), Math.ceil(high)] : [low, high];
  return [Math.max(first, 0), Math.min(last, headDim - 1)];
};

/** Factors of the frequencies of all pairs. */
const factors = (
  { ropeTheta, ropeScaling: s }: Rope,
  headDim: number,
  isLong: boolean,
): ((pair: number, frequency: number) => number) => {
  switch (s?.kind) {
    case 'linear':
      return () => 1 / s.factor;
    case 'llama3':
      return (_, frequency) => llama3Factor(s, frequency);
    case 'longrope':
      return (pair) => 1 / (isLong ? s.longFactors : s.shortFactors)[pair]!;
    case 'yarn': {
      const [low, high] = yarnRange(s, ropeTheta, headDim);
      const width = low === high ? 0.001 : high - low;
      return (pair) => {
        const slowed = Math.min(1, Math.max(0, (pair - low) / width));
        return slowed / s.factor + 1 - slowed;
      };
    }
    default:
      return () => 1;
  }
};

/** Radians per position of each rotated pair. */
const frequencies = (rope: Rope, headDim: number, isLong: boolean): number[] => {
  const factorOf = factors(rope, headDim, isLong);
  return Array.from({ length: headDim / 2 }, (_, i) => {
    const frequency = rope.ropeTheta ** ((-2 * i) / headDim);
    return frequency * factorOf(i, frequency);
  });
};

/** A rotary embedding, and the longest text in tokens. */
export interface RopeOfModel extends Rope {
  readonly maxPositions: number;
}

/**
 * The longest text in tokens that may grow in a cache: that of the model, or the context of pretraining where longer texts are rotated otherwise, all of their tokens, which keys in a
 * cache can't follow.
 */
export const reachOf = ({ ropeScaling, maxPositions }: RopeOfModel): number =>
  ropeScaling?.kind === 'longrope' ? Math.min(maxPositions, ropeScaling.originalMaxPositions) : maxPositions;

/**
 * Cosines and sines of the rotary embedding's angles p·θᵢ, θᵢ = ropeTheta^(−2i/headDim) before they are stretched, for `count` positions from
 * `start` on: [count, headDim/2] each. Su et al., 2021. https://arxiv.org/abs/2104.09864; further sources: `RopeScaling`.
 * `all`: the positions of a pass that is a text as a whole, which tell which of LongRoPE's factors rotate it; null where it is not known (see `RowsOf`).
 * Throws `bad-option` for positions at which a dynamic one would change, and where LongRoPE's factors depend on what is not known.
 */
export const ropeTable = (
  rope: RopeOfModel,
  headDim: number,
  start: number,
  count: number,
  all: number | null = null,
): { readonly cos: Tensor; readonly sin: Tensor } => {
  const { ropeScaling: scaling, maxPositions } = rope;
  if (scaling?.kind === 'dynamic' && start + count > maxPositions)
    throw new PeftError(
      'bad-option',
      `model: got ${start + count} positions; its rope of type dynamic is another for texts beyond max_position_embeddings ${maxPositions}, which is not computed. Give shorter texts.`,
    );
  const original = scaling?.kind === 'longrope' ? scaling.originalMaxPositions : Number.POSITIVE_INFINITY;
  if (all === null && start + count > original)
    throw new PeftError(
      'bad-option',
      `model: got ${start + count} positions; its rope of type longrope rotates all tokens of a text beyond original_max_position_embeddings ${original} otherwise, which neither a cache nor several texts in a row can follow. Give such a text alone and whole, without positions, or a generator a smaller context.`,
    );
  const theta = frequencies(rope, headDim, all !== null && all > original);
  const half = theta.length;
  const scale = scaling && 'attentionFactor' in scaling ? scaling.attentionFactor : 1;
  const table = (f: (angle: number) => number): Tensor =>
    constant(
      Float32Array.from(
        { length: count * half },
        (_, i) => scale * f((start + Math.floor(i / half)) * theta[i % half]!),
      ),
      [count, half],
    );
  return { cos: table(Math.cos), sin: table(Math.sin) };
};
