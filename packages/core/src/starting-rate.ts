import type { Model } from '@peftjs/transformer';
import type { Method } from './method.ts';

/** Hidden size from which on papers' learning rates hold: a narrower model wants higher ones. */
const narrowWidth = 512;

/** The learning rate of a method to begin with for models whose hidden size is `width`; null where it has none. */
export const rateForWidth = (
  { learningRate, narrowRate }: Pick<Method, 'learningRate' | 'narrowRate'>,
  width: number,
): number | null => (width < narrowWidth ? narrowRate : undefined) ?? learningRate ?? null;

/**
 * The learning rate of a method to begin with for a model: `narrowRate` where the model is narrower than 512 and the method has one, else `learningRate`; null where it
 * has none. The best rate of AdamW falls with the width, about as its inverse for matrices (Yang et al., 2022, Tensor Programs V.
 * https://arxiv.org/abs/2203.03466).
 */
export const startingRate = (method: Pick<Method, 'learningRate' | 'narrowRate'>, { main }: Model): number | null =>
  rateForWidth(method, main.hiddenSize);

/** The rates of methods at once, which are the lowest that one of them has. */
export const lowestRates = (methods: readonly Method[]): Pick<Method, 'learningRate' | 'narrowRate'> => {
  const rates = methods.flatMap(({ learningRate }) => learningRate ?? []);
  const narrow = methods.flatMap(({ learningRate, narrowRate }) => narrowRate ?? learningRate ?? []);
  return {
    ...(rates.length > 0 && { learningRate: Math.min(...rates) }),
    ...(methods.some(({ narrowRate }) => narrowRate !== undefined) && { narrowRate: Math.min(...narrow) }),
  };
};
