/** The divisor of advantages. */
export type RewardScale = 'group' | 'batch' | 'none';

const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** The standard deviation of a sample; 0 of one value. */
const spreadOf = (values: readonly number[]): number => {
  if (values.length < 2) return 0;
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1));
};

/**
 * The advantage of each reward in its group of so many neighbours: (r − mean) / (s + 10⁻⁴), s the standard deviation in the group or in all; r − mean with `none`. As
 * TRL computes it. Shao et al., 2024. https://arxiv.org/abs/2402.03300
 */
export const advantagesOf = (rewards: readonly number[], group: number, scale: RewardScale): number[] => {
  const whole = spreadOf(rewards);
  return rewards.map((reward, i) => {
    const start = i - (i % group);
    const own = rewards.slice(start, start + group);
    const above = reward - meanOf(own);
    return scale === 'none' ? above : above / ((scale === 'batch' ? whole : spreadOf(own)) + 1e-4);
  });
};
