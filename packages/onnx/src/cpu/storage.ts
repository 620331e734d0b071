import { numberToHalf, type TypedArray, type Variable } from '@peftjs/tensor';
import { hostArray } from '@peftjs/tensor/executor';

/** Values as the graph takes them: variables in f16 as their bits, other values in f16 widened to f32. */
export type HostArray = TypedArray;

/** A variable's number in one executor. */
export type Key = number;

/** A zeroed array for what a graph makes. */
export const wideArray = (dtype: Variable['dtype'], size: number): HostArray =>
  hostArray(dtype === 'f16' ? 'f32' : dtype, size);

/** Values in a dtype's own array type. */
export const narrow = (dtype: Variable['dtype'], data: HostArray): TypedArray =>
  dtype === 'f16' && data instanceof Float32Array ? Uint16Array.from(data, numberToHalf) : data;

interface Cell {
  data: HostArray;
  /** Whether `data` is ours to write; a user's initial array is only read. */
  owned: boolean;
  /** Where the next value is written, when a program makes one. */
  spare: HostArray | null;
  /** Another number after each change. */
  version: number;
}

const alike = (data: HostArray): HostArray => new (data.constructor as new (size: number) => HostArray)(data.length);

/** The values of variables: each once, shared by all programs. */
export class Storage {
  readonly #cells = new Map<Key, Cell>();
  #changes = 0;

  #cell(key: Key): Cell {
    return this.#cells.get(key)!;
  }

  /** Takes a value over; one that is not `owned` is never written to. */
  put(key: Key, data: HostArray, owned: boolean): void {
    const spare = this.#cells.get(key)?.spare ?? null;
    // The next value of a graph is not to be written over this one.
    this.#cells.set(key, { data, owned, spare: spare === data ? null : spare, version: this.#changes++ });
  }

  /** The value, to be read only. */
  value(key: Key): HostArray {
    return this.#cell(key).data;
  }

  /** A number that is another one when the value has changed. */
  version(key: Key): number {
    return this.#cell(key).version;
  }

  /** The value, to be changed in place; moved to where it is wanted. */
  writable(key: Key, place: HostArray | null = null): HostArray {
    const cell = this.#cell(key);
    cell.version = this.#changes++;
    if (place && cell.data !== place) {
      place.set(cell.data);
      // The next value of a graph is not to be written over this one.
      Object.assign(cell, { data: place, owned: true, spare: cell.spare === place ? null : cell.spare });
    }
    if (!cell.owned) Object.assign(cell, { data: cell.data.slice(), owned: true });
    return cell.data;
  }

  /** Where to write the value that `swap` puts in place. */
  next(key: Key): HostArray {
    const cell = this.#cell(key);
    cell.spare ??= alike(cell.data);
    return cell.spare;
  }

  /** Puts what was written to `next` in place; nothing when the variable was released meanwhile. */
  swap(key: Key): void {
    const cell = this.#cells.get(key);
    if (cell)
      Object.assign(cell, {
        data: cell.spare!,
        spare: cell.owned ? cell.data : null,
        owned: true,
        version: this.#changes++,
      });
  }

  /** Puts a new value in place; nothing when the variable was released meanwhile. */
  replace(key: Key, data: HostArray): void {
    if (this.#cells.has(key)) this.put(key, data, true);
  }

  release(key: Key): void {
    this.#cells.delete(key);
  }
}
