import type { Adapted, Target } from '@peftjs/core';
import { checkOptions, mustBe, type OnExecutor, onExecutor, type Rules } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';

/** How the first A and B are taken out of W. */
export type PrincipalStart = 'pissa' | 'olora';

/** Options of `principalLora`. */
export interface PrincipalLoraOptions extends OnExecutor {
  /** Default `pissa`. */
  readonly how?: PrincipalStart;
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r. Default 8. */
  readonly rank?: number;
  /** The product is scaled by s = alpha / rank. Default 8. */
  readonly alpha?: number;
}

/** A LoRA that begins with a part of the base's weights. */
export interface PrincipalLora<M extends Model> {
  /** To be trained: LoRA over a base that lacks that part, so together they begin as the base. A file of it would fit that base alone. */
  readonly adapted: Adapted<M>;
  /** The change learnt since, as an ordinary LoRA of rank 2r over the base itself: s·(BA − B₀A₀). To be saved and shared. */
  ordinary(on: OnExecutor): Promise<Adapted<M>>;
}

const rules: Rules<PrincipalLoraOptions> = {
  ...onExecutor,
  how: mustBe.oneOf(['pissa', 'olora']),
  target: mustBe.such('a target', () => true),
  rank: mustBe.count,
  alpha: mustBe.positive,
};

/**
 * LoRA whose first A₀ and B₀ are taken out of the weights: y = (W − s·B₀A₀)x + s·BAx, so that the model begins as it was and training moves its
 * principal part.
 *
 * `pissa`: A₀ = diag(√(σ/s))·Vᵀ, B₀ = U·diag(√(σ/s)) with the r largest singular values σ of W. Meng et al., 2024. https://arxiv.org/abs/2404.02948
 * `olora`: B₀ = Q[:, :r], A₀ = R[:r] with W = QR. Büyükakyüz, 2024. https://arxiv.org/abs/2406.01775
 *
 * Weights are read once, and decomposed on the host in f64; the base stays as it is, and each adapted layer is held a second time. Throws
 * `bad-option`, also for layers that are no plain floats (start from the model before it is quantised), and `no-match`.
 */
export const principalLora = async <M extends Model>(
  base: M,
  options: PrincipalLoraOptions,
): Promise<PrincipalLora<M>> => {
  checkOptions('principalLora', rules, options);
  const { takenOut } = await import('./taken-out.ts'); // with ml-matrix, which nothing else needs
  return takenOut(base, options);
};
