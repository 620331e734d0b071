import { decodeUtf8 } from '../json.ts';
import { quote } from '../report.ts';

/** The values that a pickle may hold here: plain ones, and the parts of tensors. Nothing is ever called or looked up by name. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleList
  | PickleTuple
  | PickleDict
  | PickleName
  | PickleStorage
  | PickleTensor;

/** Values in order, which more are appended to. */
export interface PickleList {
  readonly kind: 'list';
  readonly items: PickleValue[];
}

/** Values in order. */
export interface PickleTuple {
  readonly kind: 'tuple';
  readonly items: readonly PickleValue[];
}

/** A dict, also an ordered one. */
export interface PickleDict {
  readonly kind: 'dict';
  readonly entries: Map<PickleValue, PickleValue>;
}

/** A class or function, by name only. */
export interface PickleName {
  readonly kind: 'name';
  readonly name: string;
}

/** Numbers in a part of the file. */
export interface PickleStorage {
  readonly kind: 'storage';
  /** `torch.FloatStorage`. */
  readonly type: string;
  readonly key: string;
  readonly size: number;
}

/** A view of a storage. Sizes and strides count elements. */
export interface PickleTensor {
  readonly kind: 'tensor';
  readonly storage: PickleStorage;
  /** `torch.uint16`, where the storage does not tell. */
  readonly dtype: string | null;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** Makes the value of a call that a pickle asks for; only what it knows by name. */
export type Build = (name: string, args: readonly PickleValue[]) => PickleValue | undefined;

/** A value that a pickle holds and where it ends. */
export interface Unpickled {
  readonly value: PickleValue;
  readonly end: number;
}

type Kind = Extract<PickleValue, { readonly kind: string }>['kind'];

/** Whether a value is of one of these kinds. */
export const isKind = <K extends Kind>(
  value: PickleValue | undefined,
  ...kinds: readonly K[]
): value is Extract<PickleValue, { readonly kind: K }> =>
  typeof value === 'object' && value !== null && 'kind' in value && kinds.some((kind) => value.kind === kind);

/** Whether a value is a whole number of at least 0. */
export const isSize = (value: PickleValue | undefined): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;

/** Tensors take about 40 instructions each. */
const mostValues = 2_000_000;

const tuple = (items: readonly PickleValue[]): PickleTuple => ({ kind: 'tuple', items });

/**
 * Reads one pickle of protocol 2 to 5, as far as it holds plain values and calls that `build` knows; `load` makes the value of a
 * persistent id. Reading takes time in proportion to the bytes.
 *
 * Throws `SyntaxError` for anything else, with its name.
 *
 * Source: Python, `Lib/pickletools.py`, https://docs.python.org/3/library/pickletools.html
 */
export const unpickle = (
  bytes: Uint8Array,
  from: number,
  build: Build,
  load: (id: PickleValue) => PickleValue,
): Unpickled => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = from;
  let stack: PickleValue[] = [];
  const marks: PickleValue[][] = [];
  const memo = new Map<number, PickleValue>();
  let values = 0;

  const fail: (problem: string) => never = (problem) => {
    throw new SyntaxError(`${problem} (byte ${at} of the pickle)`);
  };
  /** The place of the next bytes, which are read. */
  const step = (count: number): number => {
    if (!(count <= bytes.length - at)) fail('it ends too early');
    at += count;
    return at - count;
  };
  const u8 = (): number => bytes[step(1)]!;
  const u16 = (): number => view.getUint16(step(2), true);
  const i32 = (): number => view.getInt32(step(4), true);
  const u32 = (): number => view.getUint32(step(4), true);
  const u64 = (): number => Number(view.getBigUint64(step(8), true));
  const raw = (count: number): Uint8Array => {
    const start = step(count);
    return bytes.subarray(start, start + count);
  };
  const text = (count: number): string => {
    const found = raw(count);
    try {
      return decodeUtf8(found);
    } catch {
      return fail('a text is not UTF-8');
    }
  };
  const line = (): string => {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0) fail('it ends too early');
    const found = text(end - at);
    at++;
    return found;
  };
  const long = (count: number): number | bigint => {
    let value = 0n;
    const digits = raw(count);
    for (let i = digits.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(digits[i]!);
    if (digits.length > 0 && digits.at(-1)! > 0x7f) value -= 1n << BigInt(8 * digits.length);
    const small = Number(value);
    return Number.isSafeInteger(small) ? small : value;
  };
  const pop = (): PickleValue => {
    const value = stack.pop();
    return value === undefined ? fail('its stack is empty') : value;
  };
  const top = (): PickleValue => stack.at(-1) ?? (stack.length > 0 ? null : fail('its stack is empty'));
  const sinceMark = (): PickleValue[] => {
    const items = stack;
    stack = marks.pop() ?? fail('a mark is missing');
    return items;
  };
  const popped = (count: number): PickleValue[] => {
    if (stack.length < count) fail('its stack is empty');
    return stack.splice(stack.length - count, count);
  };
  const remember = (index: number): void => {
    memo.set(index, top());
  };
  const recall = (index: number): void => {
    const value = memo.get(index);
    stack.push(value === undefined ? fail('it refers to what is not there') : value);
  };
  const append = (items: readonly PickleValue[]): void => {
    const list = top();
    if (!isKind(list, 'list')) fail('it appends to what is no list');
    for (const item of items) list.items.push(item);
  };
  const set = (items: readonly PickleValue[]): void => {
    const dict = top();
    if (!isKind(dict, 'dict') || items.length % 2 !== 0) fail('it sets items of what is no dict');
    for (let i = 0; i < items.length; i += 2) dict.entries.set(items[i]!, items[i + 1]!);
  };
  const reduce = (): void => {
    const [callable, args] = popped(2);
    if (!isKind(callable, 'name') || !isKind(args, 'tuple')) fail('it calls what has no name');
    const value = build(callable.name, args.items);
    stack.push(
      value ?? fail(`it calls ${quote(callable.name)}, which is not read: only tensors are, and no code is run`),
    );
  };
  /** The state of an object: only the version numbers that torch keeps with a state dict. */
  const setState = (): void => {
    pop();
    if (!isKind(top(), 'dict')) fail('it sets the state of an object, which is not read: only tensors are');
  };
  const name = (module: PickleValue, member: PickleValue): void => {
    if (typeof module !== 'string' || typeof member !== 'string') fail('a name is not a text');
    stack.push({ kind: 'name', name: `${module}.${member}` });
  };

  const ops: Readonly<Record<number, () => void>> = {
    128: () => void (u8() > 5 && fail('its protocol is not known')),
    149: () => void step(8),
    40: () => {
      marks.push(stack);
      stack = [];
    },
    48: () => void pop(),
    49: () => void sinceMark(),
    78: () => void stack.push(null),
    136: () => void stack.push(true),
    137: () => void stack.push(false),
    74: () => void stack.push(i32()),
    75: () => void stack.push(u8()),
    77: () => void stack.push(u16()),
    138: () => void stack.push(long(u8())),
    139: () => void stack.push(long(u32())),
    71: () => void stack.push(view.getFloat64(step(8))),
    85: () => void stack.push(text(u8())),
    88: () => void stack.push(text(u32())),
    140: () => void stack.push(text(u8())),
    141: () => void stack.push(text(u64())),
    67: () => void stack.push(raw(u8())),
    66: () => void stack.push(raw(u32())),
    142: () => void stack.push(raw(u64())),
    93: () => void stack.push({ kind: 'list', items: [] }),
    125: () => void stack.push({ kind: 'dict', entries: new Map() }),
    41: () => void stack.push(tuple([])),
    133: () => void stack.push(tuple(popped(1))),
    134: () => void stack.push(tuple(popped(2))),
    135: () => void stack.push(tuple(popped(3))),
    116: () => {
      const items = sinceMark();
      stack.push(tuple(items));
    },
    97: () => append(popped(1)),
    101: () => append(sinceMark()),
    115: () => set(popped(2)),
    117: () => set(sinceMark()),
    113: () => remember(u8()),
    114: () => remember(u32()),
    148: () => remember(memo.size),
    104: () => recall(u8()),
    106: () => recall(u32()),
    99: () => name(line(), line()),
    147: () => {
      const [module, member] = popped(2);
      name(module!, member!);
    },
    81: () => void stack.push(load(pop())),
    82: reduce,
    98: setState,
  };

  for (;;) {
    // Nearly every instruction makes one: a bound on what a few bytes each can take.
    if (++values > mostValues) fail(`it has more than ${mostValues} instructions`);
    const code = u8();
    if (code === 0x2e) return { value: pop(), end: at };
    const run =
      ops[code] ?? fail(`it uses the instruction 0x${code.toString(16)}, which is not read: only tensors are`);
    run();
  }
};
