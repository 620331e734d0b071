import type { Compute } from '@peftjs/tensor';

/** One computation that several first values are made of; one that failed is tried again. */
export const onceComputed = <T>(find: (compute: Compute) => Promise<T>): ((compute: Compute) => Promise<T>) => {
  let found: Promise<T> | undefined;
  return (compute) => {
    found ??= find(compute).catch((error: unknown) => {
      found = undefined;
      throw error;
    });
    return found;
  };
};
