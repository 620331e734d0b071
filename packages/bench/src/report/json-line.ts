import type { Row } from '../run/measure.ts';

/** A row as one line of JSON. */
export const jsonLine = ({ unit, rate, values, ...row }: Row): string =>
  JSON.stringify({
    ...row,
    [unit === 'tokens/s' ? 'tokensPerSecond' : 'gflops']: rate,
    losses: values,
  });
