/** A field of `run.yaml` by its path, and its value. */
export type Change = readonly [path: string, value: unknown];

/** The outcome of a key: fields of `run.yaml`; or why there is none, told where nothing that is learnt is other without it (`left`), and where it is (`problem`). */
export type Outcome =
  | readonly Change[]
  | { readonly left: string; readonly changes?: readonly Change[] }
  | { readonly problem: string };

/** All keys of a configuration of another trainer. */
export type Foreign = Readonly<Record<string, unknown>>;

/** The way of a key to fields here. */
export type Rule = (value: unknown, all: Foreign) => Outcome;

/** A trainer whose configurations are read. */
export interface Trainer {
  readonly name: string;
  /** Keys that tell it from others. */
  readonly marks: readonly string[];
  readonly rules: Readonly<Record<string, Rule>>;
  /** A fault of the whole, in words; null for none. Default: none. */
  requires?(all: Foreign): string | null;
  /** Its own defaults, where they are not those here: what holds where a key is missing. */
  defaults(all: Foreign): readonly Change[];
}

/** A key that is a field here, its value as it is. */
export const to =
  (path: string): Rule =>
  (value) => [[path, value]];

/** A number that may be written as a text, as YAML 1.1 reads `1e-4`. */
export const numberTo =
  (path: string): Rule =>
  (value) => {
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
    return typeof number === 'number' && Number.isFinite(number) ? [[path, number]] : { problem: 'is no number' };
  };

/** A key that has no counterpart and changes nothing that is learnt. */
export const left =
  (reason: string): Rule =>
  () => ({ left: reason });

/** A switch: what it does where it is on. */
export const whenOn =
  (on: Rule): Rule =>
  (value, all) =>
    value === true ? on(value, all) : [];

/** A key whose values have other names here. */
export const oneOf =
  (names: Readonly<Record<string, readonly Change[]>>): Rule =>
  (value) =>
    names[String(value)] ?? { problem: `there is none such here; there are ${Object.keys(names).join(', ')}` };

/** Several rules of the same reason. */
export const all = (keys: string, rule: Rule): Readonly<Record<string, Rule>> =>
  Object.fromEntries(keys.split(/\s+/).map((key) => [key, rule]));

/** Names between commas, or a list of them. */
export const listOf = (value: unknown): readonly string[] =>
  (Array.isArray(value) ? value : String(value).split(',')).map((one) => String(one).trim()).filter(Boolean);
