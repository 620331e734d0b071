import { mustBe, PeftError } from '@peftjs/tensor';
import { type Curvature, effectiveAt, type LaplacePosterior, overEigenvalues } from './posterior.ts';

/** The same at any δ, unchecked. */
export const evidenceAt = ({ blocks, logLikelihood, squaredNorm }: Curvature, priorPrecision: number): number =>
  logLikelihood - 0.5 * (overEigenvalues(blocks, (v) => Math.log1p(v / priorPrecision)) + priorPrecision * squaredNorm);

/**
 * The logarithm of the marginal likelihood of the examples that a posterior was made of, in nats: Σ log p(label) − ½·(log det P − log det P₀ + δ‖θ‖²), P the precision of the posterior, P₀ = δ·I of
 * the prior; log det P − log det P₀ = Σ log(1 + λμ/δ). By it priors are compared, or LoRAs of the same data: other ranks, other targets. Default δ: the posterior's own. Throws `bad-option`.
 */
export const laplaceEvidence = (
  posterior: LaplacePosterior,
  priorPrecision: number = posterior.priorPrecision,
): number => {
  if (!mustBe.positive.accepts(priorPrecision))
    throw new PeftError(
      'bad-option',
      `laplaceEvidence: priorPrecision must be ${mustBe.positive.expected}, got ${priorPrecision}`,
    );
  return evidenceAt(posterior, priorPrecision);
};

/**
 * The δ of the largest evidence. Where its derivative is zero, δ‖θ‖² = γ(δ) = Σ λμ / (λμ + δ) (MacKay, 1992. https://doi.org/10.1162/neco.1992.4.3.415); the left side grows with δ and the
 * right side falls, so there is one, and halving an interval finds it. Throws `bad-data` where examples say nothing.
 */
export const bestPriorPrecision = (who: string, curvature: Curvature): number => {
  const { blocks, squaredNorm } = curvature;
  const count = overEigenvalues(blocks, (v) => Number(v > 0));
  if (count === 0 || squaredNorm === 0)
    throw new PeftError(
      'bad-data',
      `${who}: ${count === 0 ? 'no example changes with the LoRA: its probabilities are 0 and 1 throughout' : 'all values of the LoRA are zero'}, so no prior can be found; give priorPrecision`,
    );
  const isBelow = (delta: number): boolean => delta * squaredNorm < effectiveAt(curvature, delta);
  let high = count / squaredNorm; // γ is at most `count`
  let low = high;
  while (!isBelow(low) && low > Number.MIN_VALUE) low /= 16;
  for (let i = 0; i < 200 && high / low > 1 + 1e-12; i++) {
    const middle = Math.sqrt(low * high);
    if (isBelow(middle)) low = middle;
    else high = middle;
  }
  return low;
};
