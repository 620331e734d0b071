import { PeftError } from '@peftjs/tensor';
import { byCodePoint } from '../by-code-point.ts';
import type { JsonValue } from '../json.ts';
import { isObject } from '../json.ts';
import { quote } from '../report.ts';

const deepest = 100;

/**
 * JSON text as Python's `json.dumps(value, indent=2, sort_keys=True)` writes it: keys in the order of their characters'
 * codes, everything beyond ASCII escaped, no newline at the end. Numbers of the fields named in `floats` are written as
 * Python writes floats, 4.0.
 *
 * Throws `PeftError` `bad-option`, with the place, for a value that JSON does not have.
 */
export const pythonJson = (value: JsonValue, floats: readonly string[] = []): string =>
  encode(value, '', 'the value', 0, floats);

const encode = (value: unknown, indent: string, where: string, depth: number, floats: readonly string[]): string => {
  if (depth > deepest) throw new PeftError('bad-option', `${where}: is nested more than ${deepest} deep.`);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    const items = value.map((item, i) => encode(item, inner, `${where}[${i}]`, depth + 1, floats));
    return block('[', items, ']', indent);
  }
  if (isObject(value)) {
    const keys = Object.keys(value).sort(byCodePoint);
    const items = keys.map((key) => {
      const text = encode(value[key], inner, `${where}.${quote(key)}`, depth + 1, floats);
      return `${ascii(key)}: ${Number.isInteger(value[key]) && floats.includes(key) ? `${text}.0` : text}`;
    });
    return block('{', items, '}', indent);
  }
  if (typeof value === 'string') return ascii(value);
  if (typeof value === 'number' && Number.isFinite(value)) return number(value);
  if (value === null || typeof value === 'boolean') return String(value);
  throw new PeftError(
    'bad-option',
    `${where}: is ${String(value)}, which JSON cannot hold. Use null, a number or a text.`,
  );
};

const block = (open: string, items: readonly string[], close: string, indent: string): string =>
  items.length === 0
    ? open + close
    : `${open}\n${items.map((item) => `${indent}  ${item}`).join(',\n')}\n${indent}${close}`;

const ascii = (text: string): string =>
  JSON.stringify(text).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Python writes 0.00001 as 1e-05. */
const number = (value: number): string => {
  const [digits, exponent] = value.toExponential().split('e') as [string, string];
  const power = Number(exponent);
  if (Number.isInteger(value) || (power >= -4 && power < 16)) return JSON.stringify(value);
  return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
};
