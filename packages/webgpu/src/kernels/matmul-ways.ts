import type { DeviceFacts } from '../kernel.ts';
import { broadcastTile, broadcastVariant } from './matmul-broadcast.ts';
import { halfVariant } from './matmul-half.ts';
import { batchCount, inFours, type MatmulProblem, type MatmulVariant } from './matmul-problem.ts';
import { registersVariant } from './matmul-registers.ts';
import { skinnyLimit, skinnyVariant } from './matmul-skinny.ts';
import { subgroupsVariant } from './matmul-subgroups.ts';
import { fitsTile, tileVariant } from './matmul-tile.ts';
import { fitsVectorTile, vectorsVariant, vectorTiles } from './matmul-vectors.ts';
import { fitsWholeTile, isWhole, wholeRegisters, wholeTile } from './matmul-whole.ts';

/** The variants for products with a short side. */
const skinnyVariants = (problem: MatmulProblem, { subgroups }: DeviceFacts): MatmulVariant[] => {
  const { m, n, a, b } = problem;
  const alongDepth = !a.transposed && b.transposed;
  const [long, short, contiguousDepth] =
    n <= m ? (['m', n, !a.transposed] as const) : (['n', m, !!b.transposed] as const);
  return [
    skinnyVariant({ long, contiguousDepth, short }),
    ...(subgroups && alongDepth && inFours(problem) ? [subgroupsVariant({ long, short })] : []),
  ];
};

/** The variants by tiles in workgroup memory: four elements at a time where the sides allow it, f16 where that is wanted. */
const tileVariants = (problem: MatmulProblem, device: DeviceFacts): MatmulVariant[] => {
  const sides = { aTransposed: problem.a.transposed ?? false, bTransposed: problem.b.transposed ?? false };
  const vectors = inFours(problem) ? vectorTiles : [];
  const half = device.f16 && problem.factors ? vectors : [];
  return [
    ...half.filter((tile) => fitsVectorTile(tile, device, 2)).map((tile) => halfVariant(tile, sides)),
    ...vectors.filter((tile) => fitsVectorTile(tile, device, 4)).map((tile) => vectorsVariant(tile, sides)),
    ...([64, 32] as const).filter((size) => fitsTile(size, device)).map((size) => tileVariant(size, sides)),
  ];
};

/** The numbers of rows of variants by registers: the largest that a product fills, and the next. */
const registerRows = (m: number): number[] => [8, 4, 2, 1].filter((r) => r <= Math.max(1, m)).slice(0, 2);

/** The variants that compute a product in floats on a device; the first is the fixed choice. */
const floatVariants = (problem: MatmulProblem, device: DeviceFacts): MatmulVariant[] => {
  const { m, n } = problem;
  const { software, subgroupSize } = device;
  const registers = registerRows(m).map(registersVariant);
  const tiles = tileVariants(problem, device);
  // Who asks for f16 gets it on a CPU adapter too, to see what it does to the values.
  if (software && problem.factors) return [...tiles.filter(({ half }) => half), ...registers];
  // Fewer rows than half a subgroup would leave most of what is broadcast unused.
  if (software && subgroupSize && 2 * m >= subgroupSize)
    return [broadcastVariant(broadcastTile(m, n, subgroupSize)), ...registers];
  if (software || tiles.length === 0) return registers;
  return Math.min(m, n) > skinnyLimit ? tiles : [...skinnyVariants(problem, device), registers[0]!];
};

/** The variants that multiply whole numbers: by tiles on a GPU, by registers on any device. */
const wholeVariants = (problem: MatmulProblem, device: DeviceFacts): MatmulVariant[] => [
  ...(device.software ? [] : ([64, 32] as const).filter((size) => fitsWholeTile(size, device))).map((size) =>
    wholeTile(problem, size),
  ),
  ...registerRows(problem.m).map((rows) => wholeRegisters(problem, rows)),
];

/** The variants that compute a product on a device; the first is the fixed choice. */
const variantsOf = (problem: MatmulProblem, device: DeviceFacts): MatmulVariant[] => {
  const floats = floatVariants(problem, device);
  if (!device.dot4 || !isWhole(problem)) return floats;
  const whole = wholeVariants(problem, device);
  // A few rows take a way whose lanes share the depth, unless timing says otherwise.
  return !device.software && Math.min(problem.m, problem.n) <= skinnyLimit
    ? [...floats, ...whole]
    : [...whole, ...floats];
};

/** A way to compute a product: a variant, and the parts of the depth it takes. */
export interface Way {
  readonly name: string;
  readonly variant: MatmulVariant;
  readonly splits: number;
}

/** Units of work that keep a device busy: a fixed choice splits the depth for no more. */
const enoughUnits = 256;
/** A part of the depth is at least this long. */
const partDepth = 256;

const splitsFor = (problem: MatmulProblem, { rows, columns }: MatmulVariant, enough: number): number => {
  const units = Math.ceil(problem.m / rows) * Math.ceil(problem.n / columns) * batchCount(problem);
  return units === 0 ? 1 : Math.max(1, Math.min(Math.floor(problem.k / partDepth), Math.ceil(enough / units)));
};

/**
 * The ways to compute a problem, the fixed choice first: each variant as a whole and, unless `whole`, in parts of the depth. Names tell how
 * finely the depth is split and not in how many parts: that follows the sizes, which keys round.
 */
export const waysOf = (problem: MatmulProblem, device: DeviceFacts, whole: boolean): Way[] => {
  const variants = variantsOf(problem, device);
  return variants.flatMap((variant): Way[] => {
    const { name } = variant;
    const unsplit = { name, variant, splits: 1 };
    if (whole) return [unsplit];
    const [split, fine] = [splitsFor(problem, variant, enoughUnits), splitsFor(problem, variant, 4 * enoughUnits)];
    return [
      ...(split > 1 ? [{ name: `${name} split`, variant, splits: split }] : []),
      unsplit,
      ...(fine > split ? [{ name: `${name} split fine`, variant, splits: fine }] : []),
    ];
  });
};
