import { adamwAlignment, adamwMemory } from './adamw.ts';
import type { Recipe } from './recipe.ts';
import type { HostArray, Key } from './storage.ts';

/** Values of weights from which on a step's copies cost more than a memory of its own is worth. */
const leastValues = 2 ** 18;

/** Bytes of one memory: WebAssembly has addresses of 32 bits. */
const mostBytes = 2 ** 32 - 2 ** 16;

/** The arrays of one AdamW step. */
interface Place {
  /** Weight and both moments. */
  readonly state: ReadonlyMap<Key, HostArray>;
  readonly grad: HostArray;
}

const padded = (values: number): number => Math.ceil((4 * values) / adamwAlignment) * adamwAlignment;

/**
 * Where weights, moments and gradients lie, so that AdamW's kernel takes them as they are: in its own memory, those of large programs. Programs that
 * step the same variables share their places, the gradient's too, as one runs at a time.
 */
export class Places {
  readonly #byWeight = new Map<Key, Place>();
  readonly #byKey = new Map<Key, HostArray>();

  /** Makes places for the steps of a program that have none. Where there is no memory for them they go without. */
  prepare({ steps, made }: Recipe, sizeOf: (made: number) => number): void {
    const wanted = steps.flatMap(({ op, state, grad }) => {
      const known = this.#byWeight.get(state[0]!);
      const isNew = op === 'adamw' && 'made' in grad && made[grad.made]!.graph !== null;
      return isNew && !(known && state.every((key) => known.state.has(key)))
        ? [{ state, values: sizeOf(grad.made) }]
        : [];
    });
    if (wanted.reduce((n, { values }) => n + values, 0) < leastValues) return;
    for (let from = 0; from < wanted.length; ) {
      let [to, bytes] = [from, 0];
      for (; to < wanted.length && bytes + 4 * padded(wanted[to]!.values) <= mostBytes; to++)
        bytes += 4 * padded(wanted[to]!.values);
      this.#place(wanted.slice(from, to), bytes);
      // What fits into no memory is copied.
      from = Math.max(to, from + 1);
    }
  }

  #place(steps: readonly { readonly state: readonly Key[]; readonly values: number }[], bytes: number): void {
    if (steps.length === 0) return;
    let memory: ArrayBuffer;
    try {
      memory = adamwMemory(bytes);
    } catch {
      return;
    }
    let at = 0;
    const next = (values: number): HostArray => {
      const array = new Float32Array(memory, at, values);
      at += padded(values);
      return array;
    };
    for (const { state, values } of steps) {
      const arrays = state.map((key) => [key, next(values)] as const);
      this.#byWeight.set(state[0]!, { state: new Map(arrays), grad: next(values) });
      for (const [key, array] of arrays) this.#byKey.set(key, array);
    }
  }

  /** The place of a variable that a step writes; null where it has none. */
  of(weight: Key, key: Key): HostArray | null {
    return this.#byWeight.get(weight)?.state.get(key) ?? null;
  }

  /** The place of a variable's first value; null where it has none. */
  at(key: Key): HostArray | null {
    return this.#byKey.get(key) ?? null;
  }

  /** The place of the gradient of a weight; null where it has none. */
  gradOf(weight: Key): HostArray | null {
    return this.#byWeight.get(weight)?.grad ?? null;
  }

  release(keys: readonly Key[]): void {
    for (const key of keys) {
      this.#byWeight.delete(key);
      this.#byKey.delete(key);
    }
  }
}
