import { numberToHalf, sizeOf, type Tensor, type TypedArray, type Variable } from '@peftjs/tensor';
import { hostArray, initialData, type VariableNode } from '@peftjs/tensor/executor';
import { widen } from '../lower/emitter.ts';

/** Values as the graph takes them: f16 is widened to f32. */
export type HostArray = Exclude<TypedArray, Uint16Array>;

/** A zeroed array that holds a dtype in the graph. */
export const wideArray = (dtype: Variable['dtype'], size: number): HostArray =>
  hostArray(dtype === 'f16' ? 'f32' : dtype, size) as HostArray;

/** Values in a dtype's own array type; a copy. */
export const narrow = (dtype: Variable['dtype'], data: HostArray): TypedArray =>
  dtype === 'f16' ? Uint16Array.from(data, numberToHalf) : data.slice();

interface Cell {
  data: HostArray;
  /** Whether `data` is ours to write; a user's initial array is only read. */
  owned: boolean;
  /** Where the next value is written, when a program makes one. */
  spare: HostArray | null;
}

/** The variables of one executor: each value once, shared by all programs. */
export class Storage {
  readonly #cells = new Map<VariableNode, Cell>();

  /** Makes the values that are not there yet; those whose initialiser is a graph are evaluated together, once. */
  async load(
    variables: Iterable<Variable>,
    evaluate: (tensors: readonly Tensor[]) => Promise<readonly TypedArray[]>,
  ): Promise<void> {
    const graphs: Variable[] = [];
    for (const v of variables) {
      if (this.#cells.has(v.node)) continue;
      const data = await initialData(v);
      if (data) this.#cells.set(v.node, { data: widen(v.dtype, data), owned: v.dtype === 'f16', spare: null });
      else graphs.push(v);
    }
    if (graphs.length === 0) return;
    const values = await evaluate(graphs.map((v) => v.node.init as Tensor));
    graphs.forEach((v, i) => this.#cells.set(v.node, { data: widen(v.dtype, values[i]!), owned: true, spare: null }));
  }

  /** Whether the value is there. */
  has(node: VariableNode): boolean {
    return this.#cells.has(node);
  }

  /** The value, to be read only. */
  value(node: VariableNode): HostArray {
    return this.#cells.get(node)!.data;
  }

  /** The value, to be changed in place. */
  writable(node: VariableNode): HostArray {
    const cell = this.#cells.get(node)!;
    if (!cell.owned) Object.assign(cell, { data: cell.data.slice(), owned: true });
    return cell.data;
  }

  /** Where to write the value that `swap` puts in place. */
  next(node: VariableNode): HostArray {
    const cell = this.#cells.get(node)!;
    const { shape, dtype } = node.outs[0]!;
    cell.spare ??= wideArray(dtype, sizeOf(shape));
    return cell.spare;
  }

  /** Puts what was written to `next` in place; nothing when the variable was released meanwhile. */
  swap(node: VariableNode): void {
    const cell = this.#cells.get(node);
    if (cell) Object.assign(cell, { data: cell.spare!, spare: cell.owned ? cell.data : null, owned: true });
  }

  write({ node, dtype }: Variable, data: TypedArray): void {
    const wide = widen(dtype, data);
    this.#cells.set(node, {
      data: wide === data ? wide.slice() : wide,
      owned: true,
      spare: this.#cells.get(node)?.spare ?? null,
    });
  }

  release(node: VariableNode): void {
    this.#cells.delete(node);
  }

  clear(): void {
    this.#cells.clear();
  }

  /** Bytes held. */
  get bytes(): number {
    let bytes = 0;
    for (const { data, spare } of this.#cells.values()) bytes += data.byteLength + (spare?.byteLength ?? 0);
    return bytes;
  }
}
