import type { Matrix } from 'ml-matrix';
import type { LoraGaDirection, LoraGaScale } from '../starts/lora-ga.ts';
import { type Product, truncatedSvd } from './truncated-svd.ts';

/** How the directions become factors. */
export interface GradientFactorOptions {
  readonly rank: number;
  readonly scale: number;
  readonly direction: LoraGaDirection;
  readonly firstScale: LoraGaScale;
  readonly gamma: number;
}

/** Numbers of the directions that A and B take. */
const chosen = (direction: LoraGaDirection, rank: number): { readonly a: number[]; readonly b: number[] } => {
  const [first, second] = [0, rank].map((start) => Array.from({ length: rank }, (_, i) => start + i)) as [
    number[],
    number[],
  ];
  if (direction === 'ArB2r') return { a: first, b: second };
  if (direction === 'A2rBr') return { a: second, b: first };
  return { a: first.map((i) => 2 * i + 1), b: first.map((i) => 2 * i) };
};

const largestOf = (m: Matrix): number => truncatedSvd(m, { rank: 1 }).b.norm('frobenius');

/** A₀ and B₀ of LoRA-GA: right singular vectors of a gradient, and left ones times their singular values, at a length of choice. */
export const gradientFactors = async (
  gradient: Matrix,
  weight: () => Promise<Matrix>,
  { rank, scale, direction, firstScale, gamma }: GradientFactorOptions,
): Promise<Product> => {
  const { a: right, b: left } = truncatedSvd(gradient, { rank: 2 * rank }); // V's rows, U times the values
  const of = chosen(direction, rank);
  const [a, b] = [right.subMatrixRow(of.a), left.subMatrixColumn(of.b)];
  if (firstScale === 'unit') return { a, b };
  if (firstScale === 'gd_scale') return { a: a.div(scale), b: b.div(scale) };
  if (firstScale === 'stable') return { a, b: b.mul(gradient.rows ** 0.25 / Math.sqrt(gamma)) };
  const own = b.getColumnVector(0).norm('frobenius');
  return { a, b: own > 0 ? b.mul(largestOf(await weight()) / own) : b };
};
