import type { Random } from './random.ts';

type Json = unknown;

const deep = (depth: number): Json => {
  let value: Json = [];
  for (let i = 0; i < depth; i++) value = i % 2 ? [value] : { a: value };
  return value;
};

const texts = [
  '',
  'a',
  '__proto__',
  'constructor',
  'toString',
  '../../etc/passwd',
  '((.*)*)*x',
  '(a+)+$',
  '(?P<a>x)(?P=a)',
  '.*'.repeat(60),
  '('.repeat(300),
  '\\',
  '\ud800',
  '\0',
  'é😀',
  '▁',
  '<0x41>',
  'x'.repeat(5000),
  '*'.repeat(60),
  'all-linear',
  'NaN',
  '1e999',
];

const numbers = [
  0,
  -0,
  1,
  -1,
  2,
  3,
  7,
  0.5,
  -0.5,
  1e-9,
  255,
  256,
  65535,
  1e7,
  2 ** 31,
  4e9,
  2 ** 53,
  1e20,
  1e308,
  -1e308,
];

const hostile = (r: Random): Json =>
  r.of<() => Json>([
    () => null,
    () => true,
    () => false,
    () => r.of(numbers),
    () => r.of(numbers),
    () => r.of(texts),
    () => r.of(texts),
    () => [],
    () => ({}),
    () => [[]],
    () => [null],
    () => Array.from({ length: r.of([2, 100, 3000]) }, () => r.of(numbers)),
    () => ({ type: r.of(texts) }),
    () => deep(r.of([3, 150, 30_000])),
  ])();

/** Every place in a value: what holds it, and under which key. */
const places = (value: Json): [holder: Record<string, Json> | Json[], key: string | number][] => {
  const found: [Record<string, Json> | Json[], string | number][] = [];
  const waiting: Json[] = [value];
  // A vocabulary has too many to look at all.
  while (waiting.length > 0 && found.length < 5000) {
    const holder = waiting.pop();
    if (typeof holder !== 'object' || holder === null) continue;
    const keys = Array.isArray(holder) ? holder.keys() : Object.keys(holder);
    for (const key of keys) {
      found.push([holder as Record<string, Json>, key]);
      waiting.push((holder as Record<string, Json>)[key as string]);
    }
  }
  return found;
};

const changedNumber = (value: number, r: Random): number =>
  r.of([value + 1, value - 1, -value, value * 2, value / 2, value * 1e6, Math.sqrt(value), r.of(numbers)]);

/** A value with a few of its parts replaced, removed, moved, or under other names. The value is changed in place. */
export const mutateJson = (value: Json, r: Random): Json => {
  const out = value;
  for (let i = r.below(3); i >= 0; i--) {
    const all = places(out);
    if (all.length === 0 || r.chance(0.01)) return hostile(r);
    const [holder, key] = r.of(all);
    const at = holder as Record<string, Json>;
    const own = at[key as string];
    switch (r.below(8)) {
      case 0:
      case 1:
        at[key as string] = typeof own === 'number' ? changedNumber(own, r) : hostile(r);
        break;
      case 2:
        if (Array.isArray(holder)) holder.splice(Number(key), 1);
        else delete at[key];
        break;
      case 3: {
        const [other, otherKey] = r.of(all);
        at[key as string] = (other as Record<string, Json>)[otherKey as string];
        // A value within itself can't be written.
        if (isCircular(out)) at[key as string] = own;
        break;
      }
      case 4:
        if (Array.isArray(holder)) holder.splice(Number(key), 0, own);
        else
          Object.defineProperty(at, r.of(texts), { value: own, enumerable: true, configurable: true, writable: true });
        break;
      case 5:
        at[key as string] = r.of([[own], { [String(key)]: own }, typeof own === 'string' ? own.slice(1) : [own, own]]);
        break;
      default:
        at[key as string] = hostile(r);
    }
  }
  return out;
};

const isCircular = (value: Json): boolean => {
  try {
    JSON.stringify(value);
    return false;
  } catch {
    return true;
  }
};

/** JSON text, also of what is nested too deep for `JSON.stringify`. */
export const jsonText = (value: Json): string => {
  try {
    return JSON.stringify(value) ?? 'null';
  } catch {
    return `${'['.repeat(30_000)}${']'.repeat(30_000)}`;
  }
};
