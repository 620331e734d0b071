import type { Method } from './method.ts';

/** The lowest learning rate that some methods have: those that they are made of, where they have none of their own; null where none has one. */
export const lowestRate = (methods: readonly Method[]): number | null => {
  const rates = methods.flatMap((m): number[] => {
    const found = m.learningRate ?? (m.parts ? lowestRate(m.parts) : null);
    return found === null ? [] : [found];
  });
  return rates.length > 0 ? Math.min(...rates) : null;
};
