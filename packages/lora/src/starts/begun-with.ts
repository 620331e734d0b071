import type { Chosen, Init, Scope } from '@peftjs/core';
import { matmul, mul, PeftError } from '@peftjs/tensor';
import type { Linear, Path } from '@peftjs/transformer';
import { type LoraOptions, rankAndScaleOf } from '../low-rank.ts';
import { takenAway } from './taken-away.ts';

/** Refuses a rank that a layer's weight has not. Throws `bad-option`. */
export const requireRank = (name: string, path: Path, { inDim, outDim }: Linear, rank: number): void => {
  if (rank > Math.min(inDim, outDim))
    throw new PeftError('bad-option', `${name}: rank ${rank} is above what ${path} of ${outDim} × ${inDim} has`);
};

/** A LoRA that begins with B₀A₀ = `first`, over a base that lacks s·B₀A₀. Throws `bad-option` for a rank that the weight has not. */
export const begunWith = (
  name: string,
  base: Linear,
  own: Scope,
  path: Path,
  options: Chosen<LoraOptions>,
  firstOf: (rank: number, scale: number) => (half: 'a' | 'b') => Init,
): Linear => {
  const { inDim, outDim } = base;
  const { rank, scale } = rankAndScaleOf(path, options);
  requireRank(name, path, base, rank);
  const first = firstOf(rank, scale);
  const a = own.param('lora_A.weight', [rank, inDim], first('a'));
  const b = own.param('lora_B.weight', [outDim, rank], first('b'));
  return takenAway(
    base,
    own,
    { rank, scale, first },
    {
      apply: (x) =>
        matmul(mul(matmul(own.dropout(x, options.dropout), a, { transposeB: true }), scale), b, { transposeB: true }),
      dense: () => mul(matmul(b, a), scale),
    },
  );
};
