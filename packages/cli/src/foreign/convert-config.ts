import { PeftError } from '@peftjs/tensor';
import { parseDocument, stringify } from 'yaml';
import { parseRunConfig } from '../config/read.ts';
import { axolotl } from './axolotl.ts';
import { llamaFactory } from './llama-factory.ts';
import { mlxLm } from './mlx-lm.ts';
import type { Change, Foreign, Trainer } from './rules.ts';

/** The trainers whose configurations are read, by the name that a flag gives. */
const trainers: Readonly<Record<string, Trainer>> = {
  'llama-factory': llamaFactory,
  axolotl,
  'mlx-lm': mlxLm,
};

/** A key that has no field here, and why. */
export interface Left {
  readonly key: string;
  readonly reason: string;
}

/** A configuration of another trainer as one of ours. */
export interface Converted {
  readonly from: string;
  readonly yaml: string;
  /** Keys that are understood and have no field; nothing that is learnt is other without them, or the reason says what is. */
  readonly left: readonly Left[];
  /** Keys that are not understood. */
  readonly unknown: readonly string[];
}

/** The trainer of a configuration: the one that has the most of the keys that are its own. Throws `bad-config` where none has, or two have as many. */
const trainerOf = (keys: readonly string[], name: string): Trainer => {
  const found = Object.values(trainers)
    .map((trainer) => ({ trainer, count: trainer.marks.filter((mark) => keys.includes(mark)).length }))
    .sort((a, b) => b.count - a.count);
  const [first, second] = found;
  if (first!.count > 0 && first!.count > second!.count) return first!.trainer;
  throw new PeftError(
    'bad-config',
    `${name}: does not tell whose configuration it is; say --from ${Object.keys(trainers).join(', --from ')}`,
  );
};

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Fields by their paths as an object, in the order in which a run is written. */
const nested = (changes: readonly Change[]): Readonly<Record<string, unknown>> => {
  const fields = new Map(changes.map(([path, value]) => [path, value]));
  // The number of steps stands in place of epochs.
  if (fields.has('steps')) fields.delete('epochs');
  // Options go with the method that is chosen.
  if (fields.get('method.name') === 'oft')
    for (const name of ['rank', 'alpha', 'dropout']) fields.delete(`method.${name}`);
  if (fields.get('schedule.name') === 'reduceOnPlateau') fields.delete('schedule.warmup');
  const order = ['model', 'quantize', 'data', 'objective', 'method', 'optimizer', 'schedule', 'steps', 'epochs'];
  const rank = (path: string): number => (order.indexOf(path.split('.')[0]!) + 100) % 100;
  const all: Record<string, unknown> = {};
  for (const [path, value] of [...fields].sort(
    ([a], [b]) => rank(a) - rank(b) || Number(b.endsWith('.name')) - Number(a.endsWith('.name')),
  )) {
    const [head, tail] = path.split('.') as [string, string?];
    if (tail === undefined) all[head] = value;
    else all[head] = { ...(all[head] as object), [tail]: value };
  }
  return all;
};

const commented = (title: string, lines: readonly string[]): string =>
  lines.length === 0 ? '' : `\n# ${title}\n${lines.map((line) => `#   ${line}\n`).join('')}`;

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

/** Facts from beside the file: LLaMA-Factory's `dataset_info.json`, and how many blocks the model has. */
export interface Beside {
  readonly datasetInfo?: unknown;
  readonly layers?: number | undefined;
}

/** The keys of a configuration. Throws `bad-config` for what is no YAML with keys. */
export const keysIn = (text: string, name: string): Foreign => {
  const document = parseDocument(text, { prettyErrors: false, version: '1.2' });
  const [fault] = document.errors;
  const given: unknown = fault ? null : document.toJS({ maxAliasCount: 100 });
  if (isRecord(given)) return given;
  throw new PeftError('bad-config', `${name}: ${fault ? `is not YAML: ${fault.message}` : 'holds no keys'}`);
};

/**
 * A configuration of LLaMA-Factory, axolotl or mlx-lm as `run.yaml`, with what that trainer takes where it says nothing. Each key is a field, or is named with the
 * reason why it is none. Throws `bad-config` with all keys whose meaning can't be had here.
 */
export const convertConfig = (
  text: string,
  name: string,
  { from, beside = {} }: { readonly from?: string | undefined; readonly beside?: Beside } = {},
): Converted => {
  const given = keysIn(text, name);
  const trainer = from === undefined ? trainerOf(Object.keys(given), name) : trainers[from];
  if (!trainer)
    throw new PeftError(
      'bad-option',
      `convert config: --from is ${from}; there are ${Object.keys(trainers).join(', ')}`,
    );
  const known: Foreign = {
    ...given,
    ...(beside.datasetInfo !== undefined && { dataset_info: beside.datasetInfo }),
    ...(beside.layers !== undefined && { layers: beside.layers }),
  };
  const [changes, left, problems, unknown]: [Change[], Left[], string[], string[]] = [[], [], [], []];
  // `num_layers` has a default that leaves blocks out.
  const own = trainer === mlxLm ? { num_layers: 16, ...given } : given;
  for (const [key, value] of Object.entries(own)) {
    if (!Object.hasOwn(trainer.rules, key)) {
      unknown.push(key);
      continue;
    }
    if (value === null || value === '') continue;
    const outcome = trainer.rules[key]!(value, known);
    if ('problem' in outcome) problems.push(`${key}: ${shown(value)} ${outcome.problem}`);
    else if ('left' in outcome) {
      left.push({ key, reason: outcome.left });
      changes.push(...(outcome.changes ?? []));
    } else changes.push(...outcome);
  }
  const whole = trainer.requires?.(given) ?? null;
  if (whole !== null) problems.push(whole);
  if (problems.length > 0)
    throw new PeftError(
      'bad-config',
      `${name}: is a configuration of ${trainer.name} that can't be had here:\n${problems.map((one) => `  ${one}`).join('\n')}`,
    );
  const fields = nested([...trainer.defaults(known), ...changes]);
  const yaml = [
    '# yaml-language-server: $schema=node_modules/@peftjs/cli/run.schema.json\n',
    `# From a configuration of ${trainer.name}, whose defaults are written out.\n`,
    stringify(fields, { lineWidth: 120 }),
    commented(
      'No field here:',
      left.map(({ key, reason }) => `${key}: ${reason}`),
    ),
    commented(
      'Not understood, and left out:',
      unknown.map((key) => `${key}: ${shown(given[key])}`),
    ),
  ].join('');
  // It is sound before it is given.
  parseRunConfig(yaml, `${name}, converted`);
  return { from: trainer.name, yaml, left, unknown };
};
