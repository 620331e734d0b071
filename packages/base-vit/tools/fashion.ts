import { join } from 'node:path';
import { readIdx } from './idx.ts';

/** Where Debian's package `dataset-fashion-mnist` puts its files. */
export const debianFolder = '/usr/share/datasets/fashion-mnist';

/** The classes of Fashion-MNIST, in the order of its labels. */
const classes = [
  't-shirt',
  'trouser',
  'pullover',
  'dress',
  'coat',
  'sandal',
  'shirt',
  'sneaker',
  'bag',
  'ankle boot',
] as const;

/** The classes that the model never sees. */
export const unseen: readonly string[] = ['pullover', 'coat', 'shirt'];

/** Those that it is trained on. */
export const seen: readonly string[] = classes.filter((name) => !unseen.includes(name));

/** Pixels of an edge. */
export const side = 28;

/** Grey pictures of 28 × 28 and the names of their classes. */
export interface Pictures {
  readonly pixels: readonly Uint8Array[];
  readonly names: readonly string[];
}

/** The pictures of a part of Fashion-MNIST of given classes, in the order of its files. Xiao, Rasul & Vollgraf, 2017. https://arxiv.org/abs/1708.07747 */
export function fashionPictures(folder: string, part: 'train' | 't10k', wanted: readonly string[]): Pictures {
  const { shape, data } = readIdx(join(folder, `${part}-images-idx3-ubyte.gz`));
  const labels = readIdx(join(folder, `${part}-labels-idx1-ubyte.gz`)).data;
  if (shape[1] !== side || shape[2] !== side) throw new Error(`pictures of ${shape}: they are ${side} x ${side}`);
  const size = side * side;
  const chosen = Array.from(labels.keys()).filter((i) => wanted.includes(classes[labels[i]!]!));
  return {
    pixels: chosen.map((i) => data.subarray(i * size, (i + 1) * size)),
    names: chosen.map((i) => classes[labels[i]!]!),
  };
}
