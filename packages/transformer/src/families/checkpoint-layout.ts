import type { Shape } from '@peftjs/tensor';
import type { ModelConfig } from '../config/model-config.ts';

/** How the checkpoints of an architecture differ from the model in memory. */
export interface CheckpointLayout {
  /** Tensors that old checkpoints carry and nothing reads. */
  readonly ignored: RegExp;
  /** Tensors that must be all zeros where a file has them, as nothing here reads them. */
  readonly zeros?: RegExp;
  /** Matrices that files hold as [in, out]; those of experts as [experts, in, out]. */
  readonly transposed?: RegExp;
  /** The prefix of names that some checkpoints leave out: those of the model without its head. */
  readonly prefix?: string;
  /** Parts of our names, and those in their place in files: all are applied, one after the other. Default none. */
  readonly names?: readonly (readonly [part: RegExp, instead: string])[];
  /** The sizes in files of a tensor, by our name and sizes; its values are in the same order. Default ours. */
  shapes?(name: string, shape: Shape, config: ModelConfig): Shape;
  /**
   * The tensors that files hold in place of one of ours, whose values follow one another in it: names before `names`, and sizes; null for one that is
   * there itself, and where they would be more than `most`.
   */
  pieces?(
    name: string,
    shape: Shape,
    config: ModelConfig,
    most: number,
  ): readonly (readonly [name: string, shape: Shape])[] | null;
  /** Other names that checkpoints have for a tensor: a part of our name, and that in its place. */
  readonly aliases?: readonly (readonly [part: RegExp, instead: string])[];
}

/** A tensor of the model as a file holds it. */
export interface StoredTensor {
  /** The tensors that it lies in instead, where it lies in several; their values follow one another. */
  readonly pieces?: readonly Pick<StoredTensor, 'name' | 'shape'>[];
  readonly name: string;
  readonly shape: Shape;
  /** Values from the file's order to the model's; bits of f16 too. */
  fromFile<A extends Float32Array | Uint16Array>(values: A): A;
  /** Values from the model's order to the file's. */
  toFile(values: Float32Array): Float32Array;
}

/** [..., rows, columns] -> [..., columns, rows] */
const transposedValues = <A extends Float32Array | Uint16Array>(values: A, rows: number, columns: number): A => {
  const out = new (values.constructor as new (size: number) => A)(values.length);
  for (let at = 0; at < values.length; at += rows * columns)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) out[at + c * rows + r] = values[at + r * columns + c]!;
  return out;
};

const asIs = <A>(values: A): A => values;

/** The name that files have for a tensor. */
export const fileName = ({ names = [] }: CheckpointLayout, name: string): string =>
  names.reduce((whole, [part, instead]) => whole.replace(part, instead), name);

/** How a tensor of a config's model, by its full name and shape, is stored: in one piece where there would be more than `most`. */
export const storedTensor = (
  layout: CheckpointLayout,
  name: string,
  shape: Shape,
  config: ModelConfig,
  most: number = Number.POSITIVE_INFINITY,
): StoredTensor => {
  const stored = fileName(layout, name);
  const pieces = layout
    .pieces?.(name, shape, config, most)
    ?.map(([own, size]) => ({ name: fileName(layout, own), shape: size }));
  if (!layout.transposed?.test(name))
    return {
      name: stored,
      shape: layout.shapes?.(name, shape, config) ?? shape,
      ...(pieces && { pieces }),
      fromFile: asIs,
      toFile: asIs,
    };
  const [outDim, inDim] = shape.slice(-2) as [number, number];
  return {
    name: stored,
    shape: [...shape.slice(0, -2), inDim, outDim],
    fromFile: (values) => transposedValues(values, inDim, outDim),
    toFile: (values) => transposedValues(values, outDim, inDim),
  };
};

/**
 * The prefix that all names of a file have and a model's have not, as those of a model that torch.compile (`_orig_mod.`) or DataParallel
 * (`module.`) had wrapped; undefined where there is none.
 */
export const strayPrefix = (found: Iterable<string>, wanted: ReadonlySet<string>): string | undefined => {
  const names = [...found];
  const [first = ''] = names;
  if (names.some((name) => wanted.has(name))) return undefined;
  for (let at = first.indexOf('.'); at >= 0; at = first.indexOf('.', at + 1)) {
    const prefix = first.slice(0, at + 1);
    if (!names.every((name) => name.startsWith(prefix))) return undefined;
    if (names.some((name) => wanted.has(name.slice(prefix.length)))) return prefix;
  }
  return undefined;
};

/** The name that a file uses for a tensor: without the prefix where none of the file's names has it; an alias where only that is there. */
export const fileNames = (layout: CheckpointLayout, found: Iterable<string>): ((name: string) => string) => {
  const { prefix = '', aliases = [] } = layout;
  const all = new Set(found);
  const isPrefixed = [...all].some((name) => name.startsWith(prefix));
  const short = (name: string): string => (!isPrefixed && name.startsWith(prefix) ? name.slice(prefix.length) : name);
  return (name) => {
    const usual = short(fileName(layout, name));
    const other = [name, ...aliases.map(([part, instead]) => name.replace(part, instead))].map(short);
    return all.has(usual) ? usual : (other.find((alias) => all.has(alias)) ?? usual);
  };
};
