import type { Executable, Feeds, RunOptions } from './compile.ts';
import type { TypedArray } from './dtype.ts';
import { PeftError } from './error.ts';

/** Results of one run by name. */
export type Results = Record<string, TypedArray>;

/** The names to bring back now. What is kept is not, unless it is asked for. */
export const namesToRead = (outputs: Iterable<string>, { read, keep }: RunOptions): readonly string[] =>
  read ?? (keep ? [] : [...outputs]);

/** Throws `bad-option` for a name that is no output. */
export const checkNames = (outputs: Iterable<string>, names: readonly string[]): void => {
  const known = new Set(outputs);
  const unknown = names.filter((name) => !known.has(name));
  if (unknown.length > 0)
    throw new PeftError(
      'bad-option',
      `run: read or keep names ${unknown.join(', ')}; outputs: ${[...known].join(', ') || 'none'}`,
    );
};

const pick = (results: Results, names: readonly string[]): Results =>
  Object.fromEntries(names.map((name) => [name, results[name]!]));

/** `run` and `kept` of an executor whose results are on the host anyway; `runOnce` gives those that are named. */
export const keepOnHost = (
  outputs: readonly string[],
  runOnce: (feeds: Feeds, names: readonly string[]) => Promise<Results>,
): Pick<Executable, 'run' | 'kept'> => {
  const kept: Results[] = [];
  return {
    run: async (feeds = {}, options = {}) => {
      const read = namesToRead(outputs, options);
      const keep = options.keep ?? [];
      const names = [...new Set([...read, ...keep])];
      checkNames(outputs, names);
      const results = await runOnce(feeds, names);
      if (options.keep) kept.push(pick(results, keep));
      return pick(results, read);
    },
    kept: async () => kept.splice(0),
  };
};
