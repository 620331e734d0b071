import type { Batch } from '@peftjs/data';
import {
  buildProgram,
  type DType,
  type Executable,
  type Executor,
  holds,
  input,
  type Program,
  type ProgramSpec,
  type Spec,
  type TypedArray,
  type Variable,
} from '@peftjs/tensor';
import type { Inputs } from '@peftjs/transformer';

/** Shapes and dtypes of a batch's columns. */
export type BatchSpec = Readonly<Record<string, Spec>>;

const dtypes: readonly DType[] = ['f32', 'i32', 'u32', 'u8', 'f16'];

/** Those of a batch. */
export const specOf = ({ columns, shapes }: Batch): BatchSpec =>
  Object.fromEntries(
    Object.entries(columns).map(([name, data]) => [
      name,
      { shape: shapes[name]!, dtype: dtypes.find((dtype) => holds(dtype, data))! },
    ]),
  );

/** Programs for batches, one for each combination of shapes, made when it comes. */
export interface Programs {
  of(spec: BatchSpec): Promise<Executable>;
  /** Variables that they have read so far. */
  readonly variables: ReadonlySet<Variable>;
  /** Closes the least recently used, so that few are left; not those that are `busy`. */
  trim(busy: ReadonlySet<Executable>): void;
  close(): void;
}

/** Programs that are held at once. */
const most = 8;

/** Runs of a program whose feeds may hold more than it takes: columns that nothing reads, a seed without dropout. */
export const compileNamed = async (program: Program, executor: Executor): Promise<Executable> => {
  const executable = await executor.compile(program);
  const names = new Set(program.inputs.map((n) => n.name));
  const known = (feeds: Readonly<Record<string, TypedArray>>): Record<string, TypedArray> =>
    Object.fromEntries(Object.entries(feeds).filter(([name]) => names.has(name)));
  const run: Executable['run'] = (feeds = {}, options) => executable.run(known(feeds), options);
  return { ...executable, run, close: () => executable.close() };
};

/** Programs that `make` describes for the inputs of a batch. */
export const makePrograms = (executor: Executor, make: (inputs: Inputs) => ProgramSpec): Programs => {
  const known = new Map<string, Executable>();
  const variables = new Set<Variable>();
  const compiled = (inputs: Inputs): Promise<Executable> => {
    const program = buildProgram(make(inputs));
    for (const v of program.variables) variables.add(v);
    return compileNamed(program, executor);
  };
  return {
    variables,
    of: async (spec) => {
      const columns = Object.entries(spec).sort(([a], [b]) => (a < b ? -1 : 1));
      const key = columns.map(([name, { shape, dtype }]) => `${name} ${dtype} ${shape}`).join(';');
      const inputs = (): Inputs =>
        Object.fromEntries(columns.map(([name, { shape, dtype }]) => [name, input(name, shape, dtype)]));
      const found = known.get(key) ?? (await compiled(inputs()));
      // The last in the map is the one that was used last.
      known.delete(key);
      known.set(key, found);
      return found;
    },
    trim: (busy) => {
      for (const [key, executable] of known) {
        if (known.size <= most) return;
        if (busy.has(executable)) continue;
        executable.close();
        known.delete(key);
      }
    },
    close: () => {
      for (const executable of known.values()) executable.close();
      known.clear();
    },
  };
};
