import type { JsonObject, WriteTensor } from '@peftjs/io';
import type { Linear } from './linear.ts';
import type { Path } from './sites.ts';

/** Layers as a checkpoint holds them packed. */
export interface WrittenLayers {
  /** The layers whose weights the tensors stand for. */
  readonly paths: readonly Path[];
  /** By name in the file. */
  readonly tensors: ReadonlyMap<string, WriteTensor>;
  /** `quantization_config` in `config.json`. */
  readonly config: JsonObject;
}

/** Writes checkpoints of one quantiser, as `saveModel` takes it: the linear layers of a model by path, those in blocks first named. Throws `bad-option` for layers that it cannot hold. */
export type CheckpointWriter = (layers: ReadonlyMap<Path, Linear>, blocks: readonly Path[]) => WrittenLayers;

/** A function whose result is made once for so many calls, and then let go: several tensors of a file that one read makes. */
export const onceFor = <T>(calls: number, make: () => Promise<T>): (() => Promise<T>) => {
  let made: Promise<T> | null = null;
  let left = 0;
  return () => {
    if (!made) [made, left] = [make(), calls];
    const result = made;
    if (--left === 0) made = null;
    return result;
  };
};
