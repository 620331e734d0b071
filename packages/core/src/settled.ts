import type { Path } from '@peftjs/transformer';
import type { Method } from './method.ts';
import type { Option } from './option.ts';

/** Where Hugging Face PEFT's mixed models take a method beside others: also in layers that others change, or only apart from them. */
export type Mixes = 'anywhere' | 'apart';

/** A method that changes layers and nothing else, with their names. */
export interface Settled {
  /** Its record: the same object for all methods of a kind. */
  readonly record: { readonly name: string };
  /** Its options: how they are saved, and their values, with layers by full path. */
  readonly table: Readonly<Record<string, Pick<Option<unknown>, 'key' | 'of' | 'candidates'>>>;
  readonly options: Readonly<Record<string, unknown>>;
  /** The layers that it changes. */
  readonly paths: readonly Path[];
  readonly mixes: Mixes | null;
  /** The method of such options. */
  make(options: Readonly<Record<string, unknown>>): Method;
}

/** The method itself. */
export const methodOf = ({ make, options }: Settled): Method => make(options);

/** Whether they change no layer both. */
export const areApart = (a: Settled, b: Settled): boolean => !a.paths.some((path) => b.paths.includes(path));

/**
 * One method that does what two of a kind do in layers of their own: their values of an option by path (`rank`, `alpha`) may differ, all
 * else is the same. Null where that is not so, and for methods whose layers are not independent of each other.
 */
export const joined = (a: Settled, b: Settled): Settled | null => {
  const entries = Object.entries(a.table);
  const byPath = entries.flatMap(([name, { of }]) => (of === undefined ? [] : [[name, of] as const]));
  const free = new Set([...byPath.flat(), ...entries.flatMap(([name, { candidates }]) => (candidates ? [name] : []))]);
  const differs = ([name]: readonly [string, unknown]): boolean =>
    !free.has(name) && JSON.stringify(a.options[name]) !== JSON.stringify(b.options[name]);
  if (a.record !== b.record || byPath.length === 0 || entries.some(differs) || !areApart(a, b)) return null;
  const paths = [...a.paths, ...b.paths];
  const values = byPath.map(([name, of]) => {
    const common = a.options[of];
    const own = b.paths.map((path) => [path, valueAt(b.options[name], path) ?? b.options[of]] as const);
    return [name, { ...(a.options[name] as object), ...Object.fromEntries(own.filter(([, v]) => v !== common)) }];
  });
  const target = entries.find(([, { key }]) => key === 'target_modules')![0];
  return { ...a, paths, options: { ...a.options, ...Object.fromEntries(values), [target]: paths } };
};

const valueAt = (values: unknown, path: Path): unknown =>
  Object.hasOwn(values as object, path) ? (values as Record<Path, unknown>)[path] : undefined;
