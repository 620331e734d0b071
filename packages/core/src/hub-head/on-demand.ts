import type { Place } from '@peftjs/io';
import type { OnExecutor, Tensor } from '@peftjs/tensor';
import type { Model, Task } from '@peftjs/transformer';
import type { Adapted } from '../attach.ts';

/**
 * The task for the head in a folder of adapter-hub/adapters, alone or beside an adapter: give it to `loadModel`, and load the head or the adapter on that model. Of an
 * `…AdapterModel` it is a `stackedHead`, of a class of transformers the task of that class. Throws `file-missing`, and `bad-adapter` with the field for a head that is not computed here.
 */
export const adapterHubTask = async (dir: Place): Promise<Task<Tensor>> =>
  (await import('./hub-head.ts')).adapterHubTask(dir);

/**
 * A base with the head of a folder that adapter-hub/adapters' `save_head` or `saveHead` wrote, and no method: only the head is trained. Throws `file-missing`, `bad-safetensors`, `bad-torch`;
 * `bad-adapter` for a head of another class or form; `state-mismatch` for tensors that do not fit.
 */
export const loadHead = async <M extends Model>(base: M, dir: Place): Promise<Adapted<M>> =>
  (await import('./hub-head.ts')).loadHead(base, dir);

/**
 * Writes the task's head alone, as adapter-hub/adapters' `save_head` does: `head_config.json` and `model_head.safetensors`, the head called `default`. Throws `bad-adapter` for a model whose task trains no head, and
 * for a head that the library has no words for; `write-failed`.
 */
export const saveHead = async (adapted: Adapted<Model>, dir: Place, options: OnExecutor): Promise<void> =>
  (await import('./hub-head.ts')).saveHead(adapted, dir, options);
