import { constant, type Tensor } from '@peftjs/tensor';
import type { Rope } from '../config/rope.ts';

/** Radians per position of each rotated pair; Llama 3's rule slows the long waves and leaves the short ones. */
const frequencies = ({ ropeTheta, ropeScaling: s }: Rope, headDim: number): number[] =>
  Array.from({ length: headDim / 2 }, (_, i) => {
    const frequency = ropeTheta ** ((-2 * i) / headDim);
    if (!s) return frequency;
    const turns = (s.originalMaxPositions * frequency) / (2 * Math.PI);
    const kept = (turns - s.lowFrequencyFactor) / (s.highFrequencyFactor - s.lowFrequencyFactor);
    const share = Math.min(1, Math.max(0, kept));
    return frequency * (share + (1 - share) / s.factor);
  });

/**
 * Cosines and sines of the rotary embedding's angles p·θᵢ, θᵢ = ropeTheta^(−2i/headDim), for `count` positions from `start` on:
 * [count, headDim/2] each. Su et al., 2021. https://arxiv.org/abs/2104.09864; Llama Team, 2024. https://arxiv.org/abs/2407.21783
 */
export const ropeTable = (
  rope: Rope,
  headDim: number,
  start: number,
  count: number,
): { readonly cos: Tensor; readonly sin: Tensor } => {
  const theta = frequencies(rope, headDim);
  const half = theta.length;
  const table = (f: (angle: number) => number): Tensor =>
    constant(
      Float32Array.from({ length: count * half }, (_, i) => f((start + Math.floor(i / half)) * theta[i % half]!)),
      [count, half],
    );
  return { cos: table(Math.cos), sin: table(Math.sin) };
};
