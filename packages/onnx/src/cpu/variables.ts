import { byteSize, type Tensor, type TypedArray, type Variable } from '@peftjs/tensor';
import { initialData, type VariableNode } from '@peftjs/tensor/executor';
import type { Engine } from './engine.ts';
import type { Key } from './storage.ts';

/** The values held of one variable. */
interface Held {
  readonly bytes: number;
  /** Arrays of so many bytes: one, or two where a program makes new values beside the old ones. */
  arrays: 1 | 2;
}

/**
 * The variables that an engine holds, by number. Nothing here keeps a variable alive: when nobody can reach it any more, as after a view
 * of a model is dropped, its values are released.
 */
export class Variables {
  readonly #engine: Engine;
  readonly #keys = new WeakMap<VariableNode, Key>();
  readonly #held = new Map<Key, Held>();
  readonly #collected = new FinalizationRegistry<Key>((key) => this.#drop([key]));
  #next = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** A variable's number, from its first use on. */
  keyOf(node: VariableNode): Key {
    const known = this.#keys.get(node);
    if (known !== undefined) return known;
    const key = this.#next++;
    this.#keys.set(node, key);
    this.#collected.register(node, key);
    return key;
  }

  has({ node }: Variable): boolean {
    return this.#held.has(this.keyOf(node));
  }

  async #put(variable: Variable, data: TypedArray, owned: boolean): Promise<void> {
    const key = this.keyOf(variable.node);
    await this.#engine.put(key, data, owned);
    this.#held.set(key, { bytes: byteSize(variable), arrays: this.#held.get(key)?.arrays ?? 1 });
  }

  /**
   * Makes the values that are not there yet; those whose initialiser is a graph are evaluated together, once. What the host lets compute for
   * first values, a model that was quantised for LoftQ say, is held no longer than that takes, unless it was held before or is to be loaded too.
   */
  async load(
    variables: Iterable<Variable>,
    evaluate: (tensors: readonly Tensor[]) => Promise<readonly TypedArray[]>,
  ): Promise<void> {
    const graphs: Variable[] = [];
    const wanted = [...variables];
    const compute = async (t: Tensor): Promise<TypedArray> => {
      const kept = new Set([...this.#held.keys(), ...wanted.map(({ node }) => this.keyOf(node))]);
      try {
        return (await evaluate([t]))[0]!;
      } finally {
        this.#drop([...this.#held.keys()].filter((key) => !kept.has(key)));
      }
    };
    // Large ones first: what they are made of is garbage then, which the collector looks for while the others are made, and hardly afterwards.
    const missing = wanted.filter((v) => !this.has(v)).sort((a, b) => byteSize(b) - byteSize(a));
    for (const v of missing) {
      if (this.has(v)) continue;
      const data = await initialData(v, compute);
      if (data) await this.#put(v, data, false);
      else graphs.push(v);
    }
    if (graphs.length === 0) return;
    const values = await evaluate(graphs.map((v) => v.node.init as Tensor));
    for (const [i, v] of graphs.entries()) await this.#put(v, values[i]!, true);
  }

  write(variable: Variable, data: TypedArray): Promise<void> {
    return this.#put(variable, data.slice(), true);
  }

  /** Notes that a program has made new values beside the old ones. */
  doubled(keys: readonly Key[]): void {
    for (const key of keys) {
      const held = this.#held.get(key);
      if (held) held.arrays = 2;
    }
  }

  release(variables: Iterable<Variable>): void {
    this.#drop([...variables].map(({ node }) => this.keyOf(node)));
  }

  #drop(keys: readonly Key[]): void {
    const held = keys.filter((key) => this.#held.delete(key));
    if (held.length > 0) this.#engine.release(held);
  }

  clear(): void {
    this.#drop([...this.#held.keys()]);
  }

  /** Bytes held. */
  get bytes(): number {
    let bytes = 0;
    for (const held of this.#held.values()) bytes += held.bytes * held.arrays;
    return bytes;
  }
}
