import { PeftError } from '@peftjs/tensor';

const isPrime = (n: number): boolean => {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return true;
};

/** Above the small numbers that axes and heads have, in an order that is no order of size: neighbours are far apart. */
const primes: readonly number[] = Array.from({ length: 870 }, (_, i) => 130 + i)
  .filter(isPrime)
  .sort((a, b) => ((a * 619) % 1009) - ((b * 619) % 1009));

/** Sums and differences of any of the sizes, and products of two: the numbers that a graph may have of them. */
const related = (sizes: readonly number[]): number[] => {
  const sums = sizes.reduce<number[]>((all, size) => all.flatMap((sum) => [sum, sum + size, sum - size]), [0]);
  const products = sizes.flatMap((a, i) => sizes.slice(i + 1).map((b) => a * b));
  // Each sum is there with both signs, and the empty one.
  return [...sums.filter((n) => n > 0), ...products];
};

/** Rows after those that determine an expression, which it must agree with. */
const proofs = 2;

/**
 * Sizes to trace a program with: a row, one row for each size that differs in it alone, and two that differ in all. All are different, and neither they
 * nor their sums, differences and products are among `taken`, the numbers that the program has anyway: so no two things are equal by accident.
 */
export const traceSizes = (count: number, taken: ReadonlySet<number>): readonly (readonly number[])[] => {
  const isFree = (sizes: readonly number[]): boolean => {
    const all = related(sizes);
    return new Set(all).size === all.length && all.every((n) => !taken.has(n));
  };
  const left = [...primes];
  /** Takes unused primes until the row that they make is free. */
  const next = (row: (fresh: readonly number[]) => readonly number[], needed: number): readonly number[] => {
    for (let at = 0; at + needed <= left.length; at++) {
      const sizes = row(left.slice(at, at + needed));
      if (!isFree(sizes)) continue;
      left.splice(at, needed);
      return sizes;
    }
    throw new PeftError(
      'bad-program',
      'onnxFiles: found no sizes that the program does not have already; name fewer sizes',
    );
  };
  const first = next((fresh) => fresh, count);
  return [
    first,
    ...first.map((_, i) => next(([fresh]) => first.map((size, j) => (i === j ? fresh! : size)), 1)),
    ...Array.from({ length: proofs }, () => next((fresh) => fresh, count)),
  ];
};
