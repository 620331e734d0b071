import { slice, type Tensor } from '@peftjs/tensor';

/** Two logits [rows, tokens, vocabulary] at the tokens alone, where a prompt has rows of its own in the one but not in the other. */
export const atTokens = (...both: readonly [Tensor, Tensor]): [Tensor, Tensor] => {
  const length = Math.min(...both.map((t) => t.shape[1]!));
  return both.map((t) => slice(t, { axis: 1, start: t.shape[1]! - length, end: t.shape[1]! })) as [Tensor, Tensor];
};
