import { join } from 'node:path';
import { openSafetensors } from '@peftjs/io';

const data = join(import.meta.dirname, '../data/python');

/** The folder of a tiny model that `make.py` saved. */
export const modelDir = (name: string): string => join(data, 'models', name);

/** What `make.py` recorded of one adapter. Tensors of the adapter are by their names in its file. */
export interface PythonGolden {
  readonly adapterDir: string;
  /** [2, 40] each; labels are the ids to predict, −100 where none. */
  readonly ids: Int32Array;
  readonly labels: Int32Array;
  /** [2, 40, vocabulary] */
  readonly logits: Float32Array;
  /** Twenty tokens after the first eight of `ids`. */
  readonly greedy: Int32Array;
  /** Before each of three steps of AdamW. */
  readonly losses: Float32Array;
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** The adapter after the three steps. */
  readonly trained: ReadonlyMap<string, Float32Array>;
}

/** Reads a golden of `make.py`. */
export const readGolden = async (name: string): Promise<PythonGolden> => {
  await using file = await openSafetensors(join(data, name, 'golden.safetensors'));
  const floats = (tensor: string): Promise<Float32Array> => file.readFloat32(tensor);
  const integers = async (tensor: string): Promise<Int32Array> => Int32Array.from(await floats(tensor));
  const group = async (prefix: string): Promise<Map<string, Float32Array>> => {
    const found = new Map<string, Float32Array>();
    for (const tensor of file.tensors.keys())
      if (tensor.startsWith(prefix)) found.set(tensor.slice(prefix.length), await floats(tensor));
    return found;
  };
  return {
    adapterDir: join(data, name, 'adapter'),
    ids: await integers('ids'),
    labels: await integers('labels'),
    logits: await floats('logits'),
    greedy: await integers('greedy'),
    losses: await floats('losses'),
    gradients: await group('gradient '),
    trained: await group('trained '),
  };
};
