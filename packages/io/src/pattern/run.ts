import { before, codePointAt } from './char-set.ts';
import { type Aside, op, type Program } from './compile.ts';

/** The places in a text where a program's groups begin and end, two by two, the whole first; -1 where one took no part. */
export type Places = readonly number[];

/** Matching one text; what was found out about it is kept for the next start. */
export interface Runner {
  /** The match that starts at a place, or null. */
  at(start: number): Places | null;
}

const mostMemory = 2 ** 26;

/** Ordinary patterns take 10 to 30 steps for a character. */
const stepsEach = 300;
const stepsFree = 1_000_000;

/**
 * Matches by trying one way after the other, in the order that Perl and Python define, and never twice at the same place: what
 * failed from a step at a place of the text fails always. So the time is at most steps times characters, also with
 * look-arounds and atomic groups, and a limit on it is never met by patterns that people write.
 *
 * Source: Fujinami & Hasuo, 2024, "Efficient Matching with Memoization for Regexes with Look-around and Atomic Grouping",
 * https://arxiv.org/abs/2401.12639.
 *
 * Throws `RangeError` for a text that is too long for the pattern, in time or in memory.
 */
export const runner = (program: Program, text: string): Runner => {
  const { ops, x, y, sets, edges, asides, splits, splitsAside, groups } = program;
  const places = text.length + 1;
  if ((splits / 8 + 4 * splitsAside) * places > mostMemory)
    throw new RangeError(`a text of ${text.length} characters is too long for this pattern`);
  /** By split: one bit for each place from which it fails. */
  const failed: (Uint8Array | undefined)[] = [];
  /** By split within an aside: where the aside ends from each place, plus one. */
  const ends: (Int32Array | undefined)[] = [];
  /** Ways that are left: step and place; or a mark (-1 - split, place); or a group's old end (slot - 2^30, place). */
  let stack = new Int32Array(256);
  let top = 0;
  let left = stepsFree + stepsEach * text.length;
  const slots = new Array<number>(2 * groups + 2).fill(-1);

  const push = (a: number, b: number): void => {
    if (top + 2 > stack.length) {
      const larger = new Int32Array(2 * stack.length);
      larger.set(stack);
      stack = larger;
    }
    stack[top++] = a;
    stack[top++] = b;
  };

  /** The first end that a part has from a place, and none of its groups; -1 if it does not fit. */
  const aside = (step: number, from: number): number => {
    const bottom = top;
    const end = run(step, from, true);
    if (end >= 0)
      for (let i = bottom; i < top; i += 2) {
        if (stack[i]! >= 0) continue;
        const id = -1 - stack[i]!;
        const known = (ends[id] ??= new Int32Array(places));
        known[stack[i + 1]!] = end + 1;
      }
    top = bottom;
    return end;
  };

  /** Whether an atomic part fits: its end, or -1. Of a look-around the place itself. */
  const around = ({ back, negated, takes }: Aside, kind: number, step: number, at: number): number => {
    let from = at;
    for (let i = 0; i < back; i++) from = before(text, from);
    const end = from < 0 ? -1 : aside(step, from);
    if (kind === op.look) return end >= 0 !== negated ? at : -1;
    return takes === 'any' || end > at === (takes === 'some') ? end : -1;
  };

  const run = (first: number, from: number, isAside: boolean): number => {
    const bottom = top;
    let step = first;
    let at = from;
    for (;;) {
      if (--left < 0) throw new RangeError(`it takes too many steps for a text of ${text.length} characters`);
      let fits = true;
      switch (ops[step]) {
        case op.end:
          return at;
        case op.set: {
          const c = codePointAt(text, at);
          fits = at < text.length && sets[x[step]!]!(c);
          at += c > 0xffff ? 2 : 1;
          step++;
          break;
        }
        case op.edge:
          fits = edges[x[step]!]!(text, at);
          step++;
          break;
        case op.guard:
          step = at < text.length && sets[x[step]!]!(codePointAt(text, at)) ? step + 1 : y[step]!;
          break;
        case op.jump:
          step = x[step]!;
          break;
        case op.split: {
          const id = y[step + 1]!;
          const known = isAside ? ends[id]?.[at] : undefined;
          if (known) return known - 1;
          const bits = failed[id];
          fits = bits === undefined || (bits[at >> 3]! & (1 << (at & 7))) === 0;
          if (!fits) break;
          push(-1 - id, at);
          push(y[step]!, at);
          step = x[step]!;
          break;
        }
        case op.save:
          if (!isAside) {
            push(x[step]! - 2 ** 30, slots[x[step]!]!);
            slots[x[step]!] = at;
          }
          step++;
          break;
        case op.look:
        case op.atomic: {
          const part = asides[x[step]!]!;
          const end = around(part, ops[step]!, step + 1, at);
          fits = end >= 0;
          at = end;
          step = part.next;
          break;
        }
        default:
          fits = false;
      }
      while (!fits) {
        if (top === bottom) return -1;
        at = stack[--top]!;
        step = stack[--top]!;
        if (step >= 0) fits = true;
        else if (step >= -(2 ** 29)) {
          const bits = (failed[-1 - step] ??= new Uint8Array((places >> 3) + 1));
          bits[at >> 3]! |= 1 << (at & 7);
        } else slots[step + 2 ** 30] = at;
      }
    }
  };

  return {
    at: (start) => {
      slots.fill(-1);
      top = 0;
      const end = run(0, start, false);
      if (end < 0) return null;
      return [start, end, ...slots.slice(2)];
    },
  };
};
