import { PeftError } from '@peftjs/tensor';

/** Below 128, from where on attention goes by several blocks of queries; above the small numbers that axes and kernels have. */
const primes: readonly number[] = [
  17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127,
];

/** Sizes, their sums and products: the numbers that a graph may have of them. */
const related = (sizes: readonly number[]): number[] =>
  sizes.flatMap((a, i) => [a, ...sizes.slice(i + 1).flatMap((b) => [a + b, a * b])]);

/** Rows after those that determine an expression, which it must agree with. */
const proofs = 2;

/**
 * Sizes to trace a program with: a row, one row for each size that differs in it alone, and two that differ in all. All are different, and neither they
 * nor their sums and products are among `taken`, the numbers that the program has anyway: so no two things are equal by accident.
 */
export const traceSizes = (count: number, taken: ReadonlySet<number>): readonly (readonly number[])[] => {
  const isFree = (sizes: readonly number[]): boolean => {
    const all = related(sizes);
    return new Set(all).size === all.length && all.every((n) => !taken.has(n));
  };
  const left = primes.filter((p) => !taken.has(p));
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
