import { charSet, oneChar } from './char-set.ts';
import type { Dialect, Flags } from './dialect.ts';
import { alt, cat, empty, mayBeEmpty, type Node, widthOf } from './node.ts';
import { parseClass, property } from './parse-class.ts';
import { reader } from './reader.ts';

/** A pattern that was read. */
export interface Parsed {
  readonly root: Node;
  /** Number of groups that are kept. */
  readonly groups: number;
  readonly names: ReadonlyMap<string, number>;
  /** Whether an endless loop has a body that may be empty: libraries differ in the groups and ends of such, not in what fits as a whole. */
  readonly isOdd: boolean;
}

const most = 100_000;
const oddAtomic = 'an atomic or possessive part has a loop whose turns may be empty';

/** Reads a pattern. Throws `SyntaxError` for what is wrong in it and for what is not supported, with the place. */
export const parse = (source: string, dialect: Dialect): Parsed => {
  if (source.length > most) throw new SyntaxError(`it has ${source.length} characters; at most ${most} are read`);
  const r = reader(source, dialect);
  const names = new Map<string, number>();
  let groups = 0;
  let isOdd = false;

  const skipComments = (): void => {
    if (!r.flags.has('x')) return;
    while (r.take(/\s+|#[^\n]*/y));
  };

  /** Alternatives up to the end of the group or the pattern. */
  const choices = (): Node => {
    const items = [sequence()];
    while (r.takes('|')) items.push(sequence());
    return alt(...items);
  };

  const sequence = (): Node => {
    const items: Node[] = [];
    for (;;) {
      skipComments();
      if (r.isDone() || r.peek() === '|' || r.peek() === ')') return cat(...items);
      items.push(quantified(atom()));
    }
  };

  const quantified = (item: Node): Node => {
    for (let node = item, isFirst = true; ; isFirst = false) {
      skipComments();
      const [min, max] = bounds() ?? [];
      if (min === undefined || max === undefined) return node;
      if (!isFirst && dialect.name === 'Python') r.fail('a repetition is repeated; put a group around it');
      if (node.kind === 'edge') r.fail('a place in the text is repeated');
      if (max < min) r.fail('a repetition has a maximum below its minimum');
      if (max === Number.POSITIVE_INFINITY && mayBeEmpty(node)) isOdd = true;
      const lazy = r.takes('?');
      const possessive = !lazy && !(dialect.nested && wasBraced) && r.takes('+');
      const repeat: Node = { kind: 'repeat', item: node, min, max, lazy };
      if (possessive && isOdd) r.fail(oddAtomic);
      node = possessive ? { kind: 'atomic', item: repeat, takes: 'any' } : repeat;
    }
  };
  let wasBraced = false;

  const bounds = (): readonly [min: number, max: number] | undefined => {
    wasBraced = false;
    if (r.takes('*')) return [0, Number.POSITIVE_INFINITY];
    if (r.takes('+')) return [1, Number.POSITIVE_INFINITY];
    if (r.takes('?')) return [0, 1];
    const braces = r.take(/\{(?:\d+(?:,\d*)?|,\d+)\}/y) ?? (dialect.nested ? undefined : r.take(/\{,\}/y));
    if (braces === undefined) return undefined;
    wasBraced = true;
    const [min = '', max = min] = braces.slice(1, -1).split(',');
    return [Number(min), max === '' ? Number.POSITIVE_INFINITY : Number(max)];
  };

  const atom = (): Node => {
    const { flags } = r;
    if (r.takes('(')) return r.nest(group);
    if (r.takes('[')) return { kind: 'set', has: parseClass(r) };
    if (r.takes('.')) return { kind: 'set', has: dialect.any(flags) };
    if (r.takes('\\')) return escape();
    if (/[*+?]/.test(r.peek())) r.fail('there is nothing to repeat');
    const edge = dialect.edge(/[$^]/.test(r.peek()) ? r.peek() : '', flags);
    const c = r.next();
    return edge ? { kind: 'edge', holds: edge } : { kind: 'set', has: oneChar(c, dialect.fold(flags)) };
  };

  const escape = (): Node => {
    const letter = r.peek();
    const set = dialect.set(letter, r.flags);
    const edge = set ? undefined : dialect.edge(/[A-Za-z]/.test(letter) ? letter : '', r.flags);
    if (set || edge) r.next();
    if (set) return { kind: 'set', has: set };
    if (edge) return { kind: 'edge', holds: edge };
    if (dialect.nested && /[pP]/.test(letter)) {
      r.next();
      return { kind: 'set', has: property(r, letter) };
    }
    if (dialect.nested && r.takes('R')) return newline;
    return { kind: 'set', has: oneChar(r.character(false), dialect.fold(r.flags)) };
  };

  /** The content of parentheses, read behind the first. */
  const group = (): Node => {
    const outer = r.flags;
    const node = content();
    r.flags = outer;
    return node;
  };

  const closed = (node: Node): Node => {
    if (!r.takes(')')) r.fail('a parenthesis is not closed');
    return node;
  };

  /** In parentheses even an edge may be repeated. */
  const grouped = (): Node => ({ kind: 'cat', items: [choices()] });

  /** Which way a loop with empty turns goes first is not kept, and that is what counts in an atomic group. */
  const atomic = (): Node => {
    const item = choices();
    if (isOdd) r.fail(oddAtomic);
    return { kind: 'atomic', item, takes: 'any' };
  };

  const kept = (name?: string): Node => {
    const index = ++groups;
    if (name !== undefined) {
      if (names.has(name)) r.fail(`two groups are called ${name}`);
      names.set(name, index);
    }
    return closed({ kind: 'group', item: choices(), index });
  };

  const content = (): Node => {
    if (!r.takes('?')) return kept();
    if (r.takes('#')) {
      r.take(/[^)]*/y);
      return closed(empty);
    }
    if (r.takes(':')) return closed(grouped());
    if (r.takes('>')) return closed(atomic());
    const sign = r.take(/<?[=!]/y);
    if (sign) return closed(look(sign));
    const name = r.take(dialect.nested ? /<[A-Za-z_]\w*>/y : /P<[\p{L}_][\p{L}\p{N}_]*>/uy);
    if (name) return kept(name.replace(/^P?<|>$/g, ''));
    const flags = r.take(/[A-Za-z]*(?:-[A-Za-z]+)?(?=[:)])/y);
    if (flags === undefined) return r.fail(`(?${r.peek()} is not supported`);
    return switched(flags);
  };

  const look = (sign: string): Node => {
    const item = choices();
    const [behind, negated] = [sign.startsWith('<'), sign.endsWith('!')];
    if (!behind || widthOf(item) !== undefined) return { kind: 'look', item, behind, negated };
    const items = dialect.nested && item.kind === 'alt' ? item.items : [item];
    if (items.some((one) => widthOf(one) === undefined)) r.fail('a look behind must be of a fixed width');
    const each = items.map((one): Node => ({ kind: 'look', item: one, behind, negated }));
    return negated ? cat(...each) : alt(...each);
  };

  const setFlags = (text: string): void => {
    const [on = '', off = ''] = text.split('-');
    const wrong = [...on, ...off].find((flag) => !dialect.flags.includes(flag));
    if (wrong !== undefined) r.fail(`the flag ${wrong} is not supported`);
    const flags = new Set([...r.flags, ...on].filter((flag) => !off.includes(flag)));
    if (on.includes('u')) flags.delete('a');
    r.flags = flags;
  };

  /** `(?i:a)`, and Oniguruma's `(?i)a`, which holds to the end of the group around it. */
  const switched = (text: string): Node => {
    if (text === '') r.fail('(? needs a letter');
    setFlags(text);
    if (r.takes(':')) return closed(grouped());
    if (!dialect.nested) r.fail('flags for the whole pattern must stand at its start');
    closed(empty);
    return choices();
  };

  // Python's flags for the whole.
  for (let flags: string | undefined; !dialect.nested && (flags = r.take(/\(\?[a-zA-Z]+\)/y)); )
    setFlags(flags.slice(2, -1));
  const global: Flags = r.flags;
  const root = choices();
  if (!r.isDone()) r.fail('a parenthesis is closed that was not opened');
  r.flags = global;
  return { root, groups, names, isOdd };
};

/** `\R`: the end of a line in whatever way, never half of one. */
const newline: Node = {
  kind: 'atomic',
  takes: 'any',
  item: alt(cat({ kind: 'set', has: (c) => c === 0x0d }, { kind: 'set', has: (c) => c === 0x0a }), {
    kind: 'set',
    has: charSet([
      [0x0a, 0x0d],
      [0x85, 0x85],
      [0x2028, 0x2029],
    ]),
  }),
};
