import type { PlannedTensor } from './compile.ts';
import { byteSize, type Variable } from './graph.ts';
import { mebibytes } from './mebibytes.ts';
import type { Program } from './program.ts';
import { sizeOf } from './shape.ts';

/** The request that does not fit, as far as it is known. */
export interface Shortage {
  readonly program: Program;
  readonly needed: number;
  /** Bytes that are there, where that is known. */
  readonly available?: number;
  /** The use of the memory. */
  readonly tensors: readonly PlannedTensor[];
}

/** One thing to do, and the bytes that it may save. */
interface Remedy {
  readonly words: string;
  readonly saves: number;
}

/** NF4 with a scale for every 64 values. */
const packedBytes = (v: Variable): number => (sizeOf(v.shape) * 4.5) / 8;

/** Shares of intermediate values that checkpointing and smaller batches save, and of trained variables that training fewer does: estimates. */
const share = { checkpointing: 0.7, batch: 0.9, training: 0.9 };

const sum = <T>(items: readonly T[], bytes: (item: T) => number): number => items.reduce((n, x) => n + bytes(x), 0);

/** Remedies, the least costly first. */
const remediesFor = ({ program, needed, available, tensors }: Shortage): Remedy[] => {
  const values = sum(
    tensors.filter((t) => t.kind === 'temporary'),
    (t) => t.bytes,
  );
  const updated = new Set(program.updates.map(([v]) => v.node));
  const trained = sum(
    program.variables.filter((v) => updated.has(v.node)),
    byteSize,
  );
  const dense = program.variables.filter(
    (v) => !updated.has(v.node) && v.shape.length > 1 && (v.dtype === 'f32' || v.dtype === 'f16'),
  );
  const [plain, packed] = [sum(dense, byteSize), sum(dense, packedBytes)];
  const isCheckpointed = program.nodes.some(({ op }) => op.name === 'after');
  // What is left for values when nothing else changes.
  const room = available === undefined ? 0 : available - (needed - values);
  const times = Math.ceil((10 * values) / room) / 10;
  const remedies: Remedy[] = [
    {
      words: `a quantised base model (${mebibytes(plain)} of frozen weights take about ${mebibytes(packed)} as NF4)`,
      saves: plain - packed,
    },
    {
      words: 'checkpointing, which computes the values inside a block again',
      saves: updated.size > 0 && !isCheckpointed ? share.checkpointing * values : 0,
    },
    {
      words:
        room > 0 ? `a batch or context ${times.toLocaleString('en-US')} times smaller` : 'a smaller batch or context',
      saves: share.batch * values,
    },
    {
      words: `fewer trained parameters (${mebibytes(trained)} with what the optimiser keeps of them)`,
      saves: share.training * trained,
    },
  ];
  return remedies.filter(({ saves }) => saves > 0);
};

/** The advice to make a program fit: remedies that suffice by themselves; else those that do together, largest first. */
export const adviceFor = (shortage: Shortage): string => {
  const { needed, available } = shortage;
  const remedies = remediesFor(shortage);
  const over = available === undefined ? null : needed - available;
  const enough = remedies.filter(({ saves }) => saves >= (over ?? needed / 10));
  if (enough.length > 0) return enough.map(({ words }) => words).join('; or ');
  const together: Remedy[] = [];
  for (const remedy of remedies.toSorted((a, b) => b.saves - a.saves))
    if (sum(together, (r) => r.saves) < (over ?? 0)) together.push(remedy);
  const smaller = 'a smaller model, or a device with more memory';
  if (sum(together, (r) => r.saves) < (over ?? needed)) together.push({ words: smaller, saves: 0 });
  return together.map(({ words }) => words).join(', together with ');
};
