import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { checkPairs } from './measure.ts';

/** The bins of `ece`. */
export interface EceOptions {
  /** Default 15. */
  readonly bins?: number;
}

const rules: Rules<EceOptions> = { bins: mustBe.count };

const isShare = (p: number): boolean => p >= 0 && p <= 1 + 1e-6;

/** Throws `bad-data` unless each row has probabilities, and one of the class that was wanted. */
const checkRows = (who: string, probabilities: readonly (readonly number[])[], wanted: readonly number[]): void => {
  checkPairs(who, probabilities, wanted);
  const odd = probabilities.findIndex((row, i) => !row.every(isShare) || row[wanted[i]!] === undefined);
  if (odd < 0) return;
  throw new PeftError(
    'bad-data',
    `${who}: row ${odd} must have a probability of each class, and the wanted one among them; got ${probabilities[odd]!.length} of them, and class ${wanted[odd]} wanted`,
  );
};

/** Negative log-likelihood: the mean of −log p(wanted class) in nats, by the probabilities of every class of each row; Infinity where one of them is 0. Throws `bad-data`. */
export const nll = (probabilities: readonly (readonly number[])[], wanted: readonly number[]): number => {
  checkRows('nll', probabilities, wanted);
  return probabilities.reduce((sum, row, i) => sum - Math.log(row[wanted[i]!]!), 0) / wanted.length;
};

/**
 * Expected calibration error: Σ over bins of |rows right − Σ confidence| / rows, a row's confidence being its largest probability, the bins ((m − 1)/M, m/M]. 0 where of predictions of
 * confidence c a share of c is right. Throws `bad-data`, `bad-option`. Guo et al., 2017. https://arxiv.org/abs/1706.04599
 */
export const ece = (
  probabilities: readonly (readonly number[])[],
  wanted: readonly number[],
  options: EceOptions = {},
): number => {
  checkOptions('ece', rules, options);
  checkRows('ece', probabilities, wanted);
  const { bins = 15 } = options;
  const gaps = new Map<number, number>();
  for (const [i, row] of probabilities.entries()) {
    const confidence = Math.max(...row);
    const bin = Math.max(0, Math.ceil(confidence * bins) - 1);
    const isRight = row.indexOf(confidence) === wanted[i];
    gaps.set(bin, (gaps.get(bin) ?? 0) + Number(isRight) - confidence);
  }
  return [...gaps.values()].reduce((sum, gap) => sum + Math.abs(gap), 0) / wanted.length;
};
