import { type Adapted, load as loadOf, type Methods } from '@peftjs/core';
import type { Place } from '@peftjs/io';
import type { Model } from '@peftjs/transformer';
import { allMethods } from './all-methods.ts';

/**
 * Attaches the adapter in a folder (a path on disk, a URL, `Files`), written by `save`, by Hugging Face PEFT or by adapter-hub/adapters, and finds its method
 * among `methods`: a list, or all that a package exports. Default: all of these packages, which a bundle then holds. Throws as `load` of
 * `@peftjs/core`: `file-missing`, `bad-safetensors`, `bad-adapter`; `state-mismatch` when tensors are missing, left over or of other shapes.
 */
export const load = <M extends Model>(base: M, dir: Place, methods: Methods = allMethods()): Promise<Adapted<M>> =>
  loadOf(base, dir, methods);
