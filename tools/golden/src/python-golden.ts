import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openSafetensors } from '@peftjs/io';

const data = join(import.meta.dirname, '../data');

/** The folder of a tiny model that `make.py` saved. */
export const modelDir = (name: string): string => join(data, 'python/models', name);

/** The folder of an adapter that we wrote, and of what Python recorded of it. */
export const writtenDir = (name: string): string => join(data, 'peftjs', name);

/** What Python recorded of one adapter. Tensors of the adapter are by their names in its file, or in the library where no file holds them. */
export interface PythonGolden {
  readonly adapterDir: string;
  /** Whether the library has a file of it. */
  readonly hasFile: boolean;
  /** [2, 40] each; labels are the ids to predict, −100 where none. */
  readonly ids: Int32Array;
  readonly labels: Int32Array;
  /** [2, 40, vocabulary]; with a prompt in the input [2, prompt + 40, vocabulary]. */
  readonly logits: Float32Array;
  /** Twenty tokens after the first eight of `ids`; null where none were recorded. */
  readonly greedy: Int32Array | null;
  /** Before each of three steps of AdamW. */
  readonly losses: Float32Array;
  /** Of AdamW. */
  readonly epsilon: number;
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** What is trained, before it is; empty where the file holds that. */
  readonly initial: ReadonlyMap<string, Float32Array>;
  /** The same after the three steps. */
  readonly trained: ReadonlyMap<string, Float32Array>;
  /** Tensors of one method alone, by name. */
  readonly further: ReadonlyMap<string, Float32Array>;
}

const groups = ['gradient', 'param', 'trained'] as const;
const plain = ['ids', 'labels', 'logits', 'greedy', 'losses', 'epsilon'];

/** Reads a golden. */
export const readGolden = async (name: string): Promise<PythonGolden> => {
  const dir = join(data, 'python', name);
  await using file = await openSafetensors(join(dir, 'golden.safetensors'));
  const all = new Map<string, Float32Array>();
  for (const tensor of file.tensors.keys()) all.set(tensor, await file.readFloat32(tensor));
  const group = (prefix: string): Map<string, Float32Array> =>
    new Map([...all].flatMap(([n, t]) => (n.startsWith(`${prefix} `) ? [[n.slice(prefix.length + 1), t]] : [])));
  const greedy = all.get('greedy');
  const isFurther = (n: string): boolean => !plain.includes(n) && !groups.some((g) => n.startsWith(`${g} `));
  return {
    adapterDir: join(dir, 'adapter'),
    hasFile: existsSync(join(dir, 'adapter')),
    ids: Int32Array.from(all.get('ids')!),
    labels: Int32Array.from(all.get('labels')!),
    logits: all.get('logits')!,
    greedy: greedy ? Int32Array.from(greedy) : null,
    losses: all.get('losses')!,
    epsilon: all.get('epsilon')?.[0] ?? 1e-8,
    gradients: group('gradient'),
    initial: group('param'),
    trained: group('trained'),
    further: new Map([...all].filter(([n]) => isFurther(n))),
  };
};
