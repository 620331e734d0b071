import { readsOf, type Step, writesOf } from './steps.ts';
import { usageOf } from './usage.ts';
import type { Value } from './values.ts';

/** Which values take the memory of others. */
export interface Placement {
  /** The value whose memory a value takes: itself unless placed. */
  resolve(value: Value): Value;
  place(value: Value, onto: Value): void;
  /** Makes a value a part of another's memory, from a byte on. */
  placeIn(value: Value, memory: Value, offset: number): void;
  /** The tensor that a resolved value is a part of. */
  partOf(value: Value): { readonly of: Value; readonly offset: number } | undefined;
  /** The value whose buffer a value takes, or takes a part of. */
  memoryOf(value: Value): Value;
}

/** A placement where every value has its own memory. */
export const newPlacement = (): Placement => {
  const onto = new Map<Value, Value>();
  const resolve = (value: Value): Value => {
    const next = onto.get(value);
    return next ? resolve(next) : value;
  };
  const parts = new Map<Value, { readonly of: Value; readonly offset: number }>();
  const partOf = (value: Value): { readonly of: Value; readonly offset: number } | undefined => {
    const part = parts.get(value);
    const outer = part && partOf(part.of);
    return outer ? { of: outer.of, offset: outer.offset + part.offset } : part;
  };
  return {
    resolve,
    place: (value, other) => void onto.set(value, other),
    placeIn: (value, memory, offset) => void parts.set(value, { of: memory, offset }),
    partOf,
    memoryOf: (value) => partOf(resolve(value))?.of ?? resolve(value),
  };
};

/** Whether a step, which writes `out`, allows that to be the memory of `input` wherever it reads it. */
export const allowsInPlace = (
  step: Step,
  out: Value,
  input: Value,
  resolve: (value: Value) => Value = (v) => v,
): boolean => {
  if (step.kind === 'clear') return false;
  if (step.kind === 'copy') return resolve(step.from) === resolve(input) && resolve(step.to) === resolve(out);
  const names = (value: Value): string[] =>
    step.dispatch.bindings.map((b) => b.buffer).filter((name) => resolve(step.values[name]!) === resolve(value));
  const [outName, ...others] = names(out);
  return (
    outName !== undefined &&
    others.length === 0 &&
    names(input).every((name) => step.inPlace[outName]?.includes(name) ?? false)
  );
};

/** Steps that handle a tensor in parts follow one another: none are further apart than this. */
const mostParts = 256;

/**
 * Lets outputs take the memory of inputs that nothing reads afterwards, where the kernel allows it. `pinned` are read
 * after the run, so nothing may take their memory.
 */
export const placeInPlace = (steps: readonly Step[], placement: Placement, pinned: ReadonlySet<Value>): void => {
  const { resolve, place, partOf } = placement;
  const own = usageOf(steps);
  const lastUse = new Map<Value, number>();
  const { values, reads, writes } = usageOf(steps, resolve);
  for (const v of values) lastUse.set(v, Math.max(reads(v).at(-1) ?? -1, writes(v).at(-1) ?? -1));
  const kept = new Set([...pinned].map(resolve));
  const touches = (step: Step, value: Value): boolean =>
    [...readsOf(step), ...writesOf(step)].some((v) => resolve(v) === value);
  /** Whether nothing needs an input after a step but further steps that make the same output, in its place. */
  const isFreeAfter = (at: number, out: Value, input: Value): boolean => {
    const last = lastUse.get(input)!;
    if (last === at || last - at > mostParts) return last === at;
    const later = steps.slice(at + 1, last + 1);
    return later.every((step) => !touches(step, input) || allowsInPlace(step, out, input, resolve));
  };
  for (const [at, step] of steps.entries()) {
    for (const out of writesOf(step)) {
      if (out.home !== 'pool' || resolve(out) !== out || partOf(out) || own.writes(out)[0] !== at) continue;
      const free = readsOf(step)
        .map(resolve)
        .find(
          (v) =>
            v.home === 'pool' &&
            !partOf(v) &&
            v.bytes === out.bytes &&
            !kept.has(v) &&
            allowsInPlace(step, out, v, resolve) &&
            isFreeAfter(at, out, v),
        );
      if (!free) continue;
      lastUse.set(free, lastUse.get(out)!);
      if (kept.has(out)) kept.add(free);
      place(out, free);
    }
  }
};
