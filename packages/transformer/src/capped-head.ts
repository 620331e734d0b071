import { mul, PeftError, type Tensor, tanh } from '@peftjs/tensor';
import type { Linear } from './linear.ts';

/** cap · tanh(x / cap): x within ± cap. */
const bent = (x: Tensor, cap: number): Tensor => mul(tanh(mul(x, 1 / cap)), cap);

/**
 * A head whose outputs are bent to ± `cap`: cap · tanh(y / cap); the head itself where `cap` is null. It has `apply` alone, since no matrix does
 * that. Gemma Team, 2024. https://arxiv.org/abs/2408.00118
 */
export const cappedHead = (head: Linear, cap: number | null): Linear => {
  if (cap === null) return head;
  const refuse = (): never => {
    throw new PeftError('bad-program', `head: its logits are capped at ${cap}, which no matrix does; use apply`);
  };
  return { ...head, apply: (x, call) => bent(head.apply(x, call), cap), dense: refuse, encode: refuse };
};
