import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';

/** How far weights are levelled. */
export interface TemperatureOptions {
  /** T, above 0: 1 for weights by size, larger ones nearer to even. Default 1. */
  readonly temperature?: number;
  /** K, the size that a larger set counts as. Default: none. */
  readonly limit?: number;
}

const rules: Rules<TemperatureOptions> = { temperature: mustBe.positive, limit: mustBe.positive };

/**
 * Weights by which tasks of unlike size are mixed: wᵢ = min(nᵢ, K)^(1/T) / Σⱼ min(nⱼ, K)^(1/T), for the numbers n of their examples. Throws `bad-option`.
 * Raffel et al., 2019 (section 3.5.2). https://arxiv.org/abs/1910.10683
 */
export const temperatureWeights = (sizes: readonly number[], options: TemperatureOptions = {}): number[] => {
  checkOptions('temperatureWeights', rules, options);
  const { temperature = 1, limit = Number.POSITIVE_INFINITY } = options;
  const odd = sizes.find((size) => !(Number.isFinite(size) && size > 0));
  if (odd !== undefined || sizes.length === 0)
    throw new PeftError(
      'bad-option',
      `temperatureWeights: sizes are numbers above 0, one at least, got ${JSON.stringify(sizes)}`,
    );
  // Divided by the largest first: powers of large numbers are none in floating point.
  const largest = Math.min(limit, Math.max(...sizes));
  const powers = sizes.map((size) => (Math.min(size, limit) / largest) ** (1 / temperature));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / total);
};
