import { loopBody } from './fill.ts';
import type { CharTest, Edge, Node } from './node.ts';
import { widthOf } from './node.ts';
import { startOf } from './starts.ts';

/** A step of a program. */
export const op = {
  end: 0,
  set: 1,
  edge: 2,
  jump: 3,
  split: 4,
  save: 5,
  look: 6,
  atomic: 7,
  fail: 8,
  guard: 9,
} as const;

/** Where a part that is matched on its own is, and what is to become of it. */
export interface Aside {
  /** The step after its end. */
  readonly next: number;
  /** How many characters to go back first. */
  readonly back: number;
  readonly negated: boolean;
  readonly takes: 'any' | 'some' | 'none';
}

/** A regular expression as steps; step i does `ops[i]` with `x[i]` and `y[i]`. */
export interface Program {
  readonly ops: readonly number[];
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly sets: readonly CharTest[];
  readonly edges: readonly Edge[];
  readonly asides: readonly Aside[];
  /** Number of splits; the number of each is in `y` of the step after it. */
  readonly splits: number;
  /** How many of them are within asides. */
  readonly splitsAside: number;
  /** Two slots each, group 0 is the whole. */
  readonly groups: number;
}

const largest = 20_000;

/** Steps of an expression. Throws `RangeError` where they would be too many. */
export const compile = (root: Node, groups: number): Program => {
  const ops: number[] = [];
  const x: number[] = [];
  const y: number[] = [];
  const sets: CharTest[] = [];
  const edges: Edge[] = [];
  const asides: Aside[] = [];
  let splits = 0;
  let splitsAside = 0;
  let depth = 0;

  const emit = (kind: number, first = 0, second = 0): number => {
    if (ops.length >= largest) throw new RangeError(`needs more than ${largest} steps; repeat less`);
    x.push(first);
    y.push(second);
    return ops.push(kind) - 1;
  };
  /** A choice between the item, whose steps come next, and a step that is set later; lazy ones try that first. */
  const split = (item: Node, lazy: boolean): ((other: number) => void) => {
    // Most choices are settled by the next character, and need not be remembered.
    const first = startOf(item);
    const guard = first && emit(op.guard, sets.push(first) - 1);
    const at = emit(op.split);
    emit(op.jump, at + 2, splits++);
    if (depth > 0) splitsAside++;
    return (other) => {
      if (guard !== undefined) y[guard] = other;
      [x[at], y[at]] = lazy ? [other, at + 2] : [at + 2, other];
    };
  };
  const aside = (kind: number, item: Node, rest: Omit<Aside, 'next'>): void => {
    const index = asides.push({ ...rest, next: 0 }) - 1;
    emit(kind, index);
    depth++;
    write(item);
    depth--;
    emit(op.end);
    asides[index] = { ...rest, next: ops.length };
  };
  const repeat = (item: Node, min: number, max: number, lazy: boolean): void => {
    for (let i = 0, length = -1; i < min && length !== ops.length; i++) {
      length = ops.length;
      write(item);
    }
    if (max === Number.POSITIVE_INFINITY) {
      // A turn that takes nothing would lead back here for ever, and adds nothing.
      const body = loopBody(item);
      const loop = ops.length;
      const out = split(body, lazy);
      write(body);
      emit(op.jump, loop);
      out(ops.length);
      return;
    }
    const outs = Array.from({ length: max - min }, () => {
      const out = split(item, lazy);
      write(item);
      return out;
    });
    for (const out of outs) out(ops.length);
  };
  const write = (node: Node): void => {
    switch (node.kind) {
      case 'set':
        emit(op.set, sets.push(node.has) - 1);
        return;
      case 'edge':
        emit(op.edge, edges.push(node.holds) - 1);
        return;
      case 'cat':
        for (const item of node.items) write(item);
        return;
      case 'alt': {
        if (node.items.length === 0) emit(op.fail);
        const ends = node.items.slice(0, -1).map((item) => {
          const other = split(item, false);
          write(item);
          const end = emit(op.jump);
          other(ops.length);
          return end;
        });
        for (const item of node.items.slice(-1)) write(item);
        for (const end of ends) x[end] = ops.length;
        return;
      }
      case 'repeat':
        repeat(node.item, node.min, node.max, node.lazy);
        return;
      case 'group':
        emit(op.save, 2 * node.index);
        write(node.item);
        emit(op.save, 2 * node.index + 1);
        return;
      case 'atomic':
        aside(op.atomic, node.item, { back: 0, negated: false, takes: node.takes });
        return;
      case 'look':
        aside(op.look, node.item, {
          back: node.behind ? widthOf(node.item)! : 0,
          negated: node.negated,
          takes: 'any',
        });
    }
  };
  write(root);
  emit(op.end);
  return { ops, x, y, sets, edges, asides, splits, splitsAside, groups };
};
