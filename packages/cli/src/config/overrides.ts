import { PeftError } from '@peftjs/tensor';
import { parse } from 'yaml';

/** A value that a flag gives: `--optimizer.rate 1e-4`. */
export interface Override {
  readonly path: readonly string[];
  readonly value: unknown;
}

/** The value of a flag: as YAML would have it after a colon, a text where that is none. */
const valueOf = (text: string): unknown => {
  try {
    return parse(text);
  } catch {
    return text;
  }
};

const camel = (name: string): string => name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Whether the flag of a field may come several times, and is a list then: files, and options of a method, as `--method.target q_proj --method.target v_proj`. */
const isList = (field: string): boolean => /^data(\.train)?$|^method\.(?!name$)/.test(field);

/**
 * Flags out of arguments: `--a.b value`, `--a.b=value`, and `--flag` for true. `--batch-size` is `--batchSize`. Gives them, and the arguments that are none.
 * Throws `bad-option` for a flag of one dash.
 */
export const parseOverrides = (
  args: readonly string[],
): { readonly overrides: readonly Override[]; readonly rest: readonly string[] } => {
  const overrides: Override[] = [];
  const rest: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (/^-[a-zA-Z]/.test(arg)) throw new PeftError('bad-option', `${arg}: flags have two dashes, as --steps 100`);
    if (!arg.startsWith('--')) {
      rest.push(arg);
      continue;
    }
    const [name, ...values] = arg.slice(2).split('=') as [string, ...string[]];
    const next = args[i + 1];
    const isBare = values.length === 0 && (next === undefined || /^--[a-zA-Z]/.test(next));
    const text = values.length > 0 ? values.join('=') : isBare ? 'true' : args[++i]!;
    const path = name.split('.').map(camel);
    const before = overrides.findIndex((one) => one.path.join('.') === path.join('.'));
    const value = valueOf(text);
    if (before >= 0 && isList(path.join('.')))
      overrides[before] = { path, value: [overrides[before]!.value, value].flat() };
    else overrides.push({ path, value });
  }
  return { overrides, rest };
};

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Fields whose text is short for an object with this field. */
const shortFor: Readonly<Record<string, string>> = {
  data: 'train',
  task: 'name',
  objective: 'name',
  method: 'name',
  optimizer: 'name',
  schedule: 'name',
};

const withValue = (json: unknown, [first, ...path]: readonly string[], value: unknown): Record<string, unknown> => {
  const all = isRecord(json) ? json : {};
  const key = first!;
  const own = all[key];
  // `--data file` and `--method name` leave what else the file says of them, as far as it fits.
  if (path.length === 0 && key === 'data' && isRecord(own) && !isRecord(value))
    return { ...all, [key]: { ...own, train: value } };
  if (path.length === 0) return { ...all, [key]: value };
  const inner = isRecord(own) || own === undefined || shortFor[key] === undefined ? own : { [shortFor[key]]: own };
  return { ...all, [key]: withValue(inner, path, value) };
};

/** Fields of which one takes the place of the other. */
const instead: Readonly<Record<string, string>> = { steps: 'epochs', epochs: 'steps' };

/** A configuration with what flags say. A flag for the steps takes the place of epochs that a file says, and the other way round. */
export const applied = (json: unknown, overrides: readonly Override[]): unknown => {
  const flags = new Set(overrides.map(({ path }) => path.join('.')));
  const replaced = [...flags].flatMap((name) => (instead[name] && !flags.has(instead[name]) ? [instead[name]] : []));
  const kept = isRecord(json)
    ? Object.fromEntries(Object.entries(json).filter(([name]) => !replaced.includes(name)))
    : json;
  return overrides.reduce<unknown>((all, { path, value }) => withValue(all, path, value), kept);
};
