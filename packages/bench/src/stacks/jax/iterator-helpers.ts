/** Methods of iterators that jax-js uses and Node has only from version 22 on. */
const helpers = {
  *map<T, U>(this: Iterable<T>, f: (value: T, index: number) => U): Generator<U> {
    let i = 0;
    for (const value of this) yield f(value, i++);
  },
  *filter<T>(this: Iterable<T>, keep: (value: T, index: number) => boolean): Generator<T> {
    let i = 0;
    for (const value of this) if (keep(value, i++)) yield value;
  },
  toArray<T>(this: Iterable<T>): T[] {
    return [...this];
  },
};

/** Adds those that are missing. */
export const addIteratorHelpers = (): void => {
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())) as object;
  for (const [name, value] of Object.entries(helpers))
    if (!(name in prototype)) Object.defineProperty(prototype, name, { value, writable: true, configurable: true });
};
