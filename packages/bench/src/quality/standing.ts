import { bestPlace, most } from './rates.ts';
import { base, type Trial } from './trials.ts';

/** A method in the table: the trials at its best rate. */
export interface Standing extends Pick<Trial, 'method' | 'options' | 'parameters' | 'learningRate' | 'planned'> {
  /** Mean over seeds of the held-out loss, in nats a token. */
  readonly loss: number;
  /** Standard deviation over seeds; null where there is one. */
  readonly spread: number | null;
  readonly seeds: number;
  /** Validation losses of the first seed by rate, from the lowest rate to the highest; Infinity where it diverged. */
  readonly curve: readonly (readonly [rate: number, loss: number])[];
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

const standingOf = (own: readonly Trial[]): Standing[] => {
  const [{ seed: first }, ...rest] = own as [Trial, ...Trial[]];
  const newest = rest.at(-1) ?? own[0]!;
  const sameSize = own.filter(({ options }) => JSON.stringify(options) === JSON.stringify(newest.options));
  const curve = new Map(
    sameSize
      .filter(({ seed }) => seed === first)
      .map(({ learningRate, validation }) => [learningRate, validation ?? Number.POSITIVE_INFINITY]),
  );
  const learningRate = bestPlace(curve);
  const rates = [...curve.keys()].sort((a, b) => a - b);
  const isBetween = learningRate !== rates[0] && learningRate !== rates.at(-1);
  if (!isBetween && rates.length < most) return [];
  const best = sameSize.filter((trial) => trial.learningRate === learningRate);
  const losses = best.flatMap(({ heldOut }) => (heldOut === null ? [] : [heldOut]));
  if (losses.length === 0) return [];
  const loss = mean(losses);
  const variance = losses.reduce((sum, x) => sum + (x - loss) ** 2, 0) / (losses.length - 1);
  const { method, options, parameters, planned } = best[0]!;
  return [
    {
      ...{ method, options, parameters, learningRate, planned, loss },
      spread: losses.length > 1 ? Math.sqrt(variance) : null,
      seeds: losses.length,
      curve: [...curve].sort((a, b) => a[0] - b[0]),
    },
  ];
};

/** The standings of the methods whose best rate is found, the lowest loss first; and the base's loss. */
export const standings = (
  trials: readonly Trial[],
): { readonly base: number; readonly methods: readonly Standing[] } => {
  const names = [...new Set(trials.map(({ method }) => method))].filter((name) => name !== base);
  const methods = names
    .flatMap((name) => standingOf(trials.filter(({ method }) => method === name)))
    .sort((a, b) => a.loss - b.loss);
  return { base: trials.find(({ method }) => method === base)?.heldOut ?? Number.NaN, methods };
};
