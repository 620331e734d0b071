import { pythonPattern } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';

/** A value by full path. */
export type ByPath<T> = Readonly<Record<Path, T>>;

/** Hugging Face PEFT's rule: the value of the first entry whose regular expression fits the path, or its end after a dot. */
const firstFit = <T>(
  pattern: Readonly<Record<string, T>>,
  who: string,
): ((path: Path) => readonly [string, T] | undefined) => {
  const entries = Object.entries(pattern).map(
    ([source, value]) => [source, value, pythonPattern(`(.*\\.)?(${source})$`, who)] as const,
  );
  return (path) => {
    const found = entries.find(([, , { match }]) => match(path) !== null);
    return found && [found[0], found[1]];
  };
};

/**
 * The values that patterns give to some paths, by full path. `strict`: throws `no-match` for an entry that fits none of them. Throws
 * `bad-option` for what Python would not read.
 */
export const valuesByPath = <T>(
  pattern: Readonly<Record<string, T>>,
  paths: readonly Path[],
  { method, strict }: { readonly method: string; readonly strict: boolean },
): ByPath<T> => {
  const found = firstFit(pattern, method);
  const values = paths.flatMap((path) => {
    const [, value] = found(path) ?? [];
    return value === undefined ? [] : [[path, value] as const];
  });
  const idle = strict
    ? Object.keys(pattern).filter((source) => {
        const fits = firstFit({ [source]: true }, method);
        return !paths.some((path) => fits(path));
      })
    : [];
  if (idle.length > 0)
    throw new PeftError(
      'no-match',
      `${method}: the patterns ${idle.join(', ')} fit none of the layers that it changes: ${paths.slice(0, 8).join(', ')}${paths.length > 8 ? ', …' : ''}`,
    );
  return Object.fromEntries(values);
};

/** The same as a file of Hugging Face PEFT holds it, whose keys are patterns that are sorted when written: one for each path. */
export const savedByPath = <T>(values: ByPath<T>, paths: readonly Path[]): Readonly<Record<string, T>> => {
  const plain = Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)));
  const fits = firstFit(plain, 'pattern');
  // A path is a pattern too, which could fit the end of another path.
  const isExact = paths.every((path) => fits(path)?.[1] === values[path]);
  if (isExact) return plain;
  return Object.fromEntries(Object.entries(plain).map(([path, value]) => [`^${path.replaceAll('.', '\\.')}`, value]));
};
