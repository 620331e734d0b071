import { grad } from '@peftjs/autograd';
import type { Examples } from '@peftjs/core';
import { inputsOf, type OwnWeights } from '@peftjs/core/collect';
import { buildProgram, type Executable, mul, PeftError, type ProgramSpec, type TypedArray } from '@peftjs/tensor';
import { meanOf, type Path, type TaskModel } from '@peftjs/transformer';
import { chooseLargest } from '../masked/choose-largest.ts';
import type { Mask } from '../masked/mask.ts';

/** The model as it is trained, and what runs its programs. */
export interface Hardest {
  readonly model: TaskModel;
  readonly paths: readonly Path[];
  /** A view of the model in which the layers at these paths have their present weights. */
  present(): OwnWeights;
  compile(spec: ProgramSpec): Promise<Executable>;
}

/** The outputs of a program of one example, for each of some examples. */
const overRows = async (
  rows: readonly Examples[],
  specOf: (row: Examples) => ProgramSpec,
  compile: Hardest['compile'],
  take: (outputs: Readonly<Record<string, TypedArray>>, row: Examples) => void,
): Promise<void> => {
  const programs = new Map<string, { readonly program: Executable; readonly reads: readonly string[] }>();
  try {
    for (const row of rows) {
      const key = JSON.stringify(row.shapes);
      const spec = programs.has(key) ? null : specOf(row);
      if (spec)
        programs.set(key, { program: await compile(spec), reads: buildProgram(spec).inputs.map(({ name }) => name) });
      const { program, reads } = programs.get(key)!;
      take(await program.run(Object.fromEntries(reads.map((name) => [name, row.columns[name]!]))), row);
    }
  } finally {
    for (const { program } of programs.values()) program.close();
  }
};

/** The number of examples that count: a tenth of them, three at least and 25 at most, as the authors' code has it. */
const hardOf = (rows: number): number => Math.min(rows, 25, Math.max(3, Math.floor(rows / 10)));

/** The share of weights with the largest sum of squared gradients over the examples whose loss is largest now. */
export const chooseByHardest = async (
  { model, paths, present, compile }: Hardest,
  rows: readonly Examples[],
  keep: number,
): Promise<Mask> => {
  const losses: (readonly [loss: number, row: Examples])[] = [];
  const lossOf = (row: Examples): ProgramSpec => ({ outputs: { loss: meanOf(present().view.loss(inputsOf(row))) } });
  await overRows(rows, lossOf, compile, ({ loss }, row) => losses.push([loss![0]!, row]));
  if (!losses.every(([loss]) => Number.isFinite(loss)))
    throw new PeftError('diverged', 'fishDip: the loss of an example is not finite; give a lower rate');
  const hard = losses.toSorted(([a], [b]) => b - a).slice(0, hardOf(rows.length));
  const sums = new Map(paths.map((path) => [path, new Float32Array(0)]));
  const squaresOf = (row: Examples): ProgramSpec => {
    const { view, weights } = present();
    const gradients = grad(meanOf(view.loss(inputsOf(row))), [...weights]);
    return { outputs: Object.fromEntries(paths.map((path, i) => [path, mul(gradients[i]!, gradients[i]!)])) };
  };
  await overRows(
    hard.map(([, row]) => row),
    squaresOf,
    compile,
    (squares) => {
      for (const [path, sum] of sums)
        sums.set(
          path,
          (squares[path] as Float32Array).map((square, i) => square + (sum[i] ?? 0)),
        );
    },
  );
  return chooseLargest(model, paths, keep, async (take) => {
    for (const [path, sum] of sums) take(path, sum);
  });
};
