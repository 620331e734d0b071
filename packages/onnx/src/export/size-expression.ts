/**
 * A number that depends on sizes: Π factors · (Σ coefficients · sizes + plus). Elements of a tensor [batch, past + tokens, 64] are
 * batch · (64·past + 64·tokens).
 */
export interface SizeExpression {
  /** Numbers of the sizes that multiply the sum. */
  readonly factors: readonly number[];
  /** One for each size. */
  readonly coefficients: readonly number[];
  readonly plus: number;
}

/** The value of an expression for sizes. */
export const valueOf = ({ factors, coefficients, plus }: SizeExpression, sizes: readonly number[]): number =>
  factors.reduce(
    (product, i) => product * sizes[i]!,
    coefficients.reduce((sum, c, i) => sum + c * sizes[i]!, plus),
  );

/** Every choice of some of the numbers below a count, fewer first. */
const choices = (count: number): number[][] =>
  Array.from({ length: 2 ** count }, (_, bits) =>
    Array.from({ length: count }, (_, i) => i).filter((i) => (bits >> i) & 1),
  ).sort((a, b) => a.length - b.length);

/**
 * The expression that gives these values for these sizes; null where there is none. `sizes` begin with a row of them, then for each size one
 * that differs in it alone, which determine an expression; the rows that follow must agree with it.
 */
export const fitExpression = (
  values: readonly number[],
  sizes: readonly (readonly number[])[],
): SizeExpression | null => {
  const [first] = sizes as readonly [readonly number[]];
  for (const factors of choices(first.length)) {
    const sums = values.map((v, row) => factors.reduce((rest, i) => rest / sizes[row]![i]!, v));
    const coefficients = first.map((size, i) => (sums[i + 1]! - sums[0]!) / (sizes[i + 1]![i]! - size));
    const plus = coefficients.reduce((rest, c, i) => rest - c * first[i]!, sums[0]!);
    const found = { factors, coefficients, plus };
    if (
      [...sums, ...coefficients, plus].every(Number.isInteger) &&
      values.every((v, row) => valueOf(found, sizes[row]!) === v)
    )
      return found;
  }
  return null;
};

/** The expression in words, as axes are named: `past + tokens`; a number where it depends on no size. */
export const inWords = ({ factors, coefficients, plus }: SizeExpression, names: readonly string[]): string | number => {
  const terms = coefficients.flatMap((c, i) => (c === 0 ? [] : [c === 1 ? names[i]! : `${c} * ${names[i]}`]));
  if (terms.length === 0 && factors.length === 0) return plus;
  const sum = [...terms, ...(plus === 0 && terms.length > 0 ? [] : [`${plus}`])].join(' + ');
  const factor = terms.length > 1 || (plus !== 0 && terms.length > 0) ? `(${sum})` : sum;
  if (factors.length === 0) return sum;
  return [...factors.map((i) => names[i]!), ...(factor === '1' ? [] : [factor])].join(' * ');
};
