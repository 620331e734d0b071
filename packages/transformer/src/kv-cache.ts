import type { DType, Shape, Tensor } from '@peftjs/tensor';
import type { KeyValue, Path } from './sites.ts';

/** A place where a pass leaves its keys and values, and finds those of earlier passes. */
export interface KvCache {
  /** Stores one layer's keys and values of this pass; returns all that the pass attends over. Keyed by the attention's path. */
  append(path: Path, own: KeyValue): KeyValue;
  /**
   * Stores the keys and values that a decoder's layer makes of an encoder's rows, and gives them back in passes that continue, for which `theirs` is
   * null: the encoder does not run in those.
   */
  cross(path: Path, theirs: KeyValue | null): KeyValue;
  /** i32 []: the slot of this pass's first row among the returned keys; null when its rows are the last of them. */
  readonly offset: Tensor | null;
  /** Whether the tokens continue what the cache holds; rows put in front at `embed` are then in it already. */
  readonly continues: boolean;
  /** The value that an earlier pass kept under a name. */
  recall(name: string, shape: Shape, dtype: DType): Tensor;
  /** Keeps a value for later passes: the same shape and dtype in all of them. */
  keep(name: string, value: Tensor): void;
}

/** The same cache, in which everything is kept under another name; of the part of a model that shares it with others. */
export const renamedCache = (cache: KvCache, of: (name: string) => string): KvCache => ({
  append: (path, own) => cache.append(of(path), own),
  cross: (path, theirs) => cache.cross(of(path), theirs),
  offset: cache.offset,
  continues: cache.continues,
  recall: (name, shape, dtype) => cache.recall(of(name), shape, dtype),
  keep: (name, value) => cache.keep(of(name), value),
});
