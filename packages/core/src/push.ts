import { type FileContent, memoryFiles, type Pushed, type PushOptions, pushFiles } from '@peftjs/io';
import type { Model } from '@peftjs/transformer';
import { type SaveOptions, save } from './adapter-file.ts';
import type { Adapted } from './attach.ts';

/** How an adapter is pushed: as it is saved, and by whom. */
export interface PushAdapterOptions extends SaveOptions, PushOptions {}

/**
 * Pushes an adapter to Hugging Face's hub, `hub:owner/name`: the files that `save` writes, as one commit, in a repository that is made where there is none. `load(model, 'hub:owner/name')` and
 * `PeftModel.from_pretrained(base, 'owner/name')` read it. Throws as `save` and `pushFiles`.
 */
export const push = async (adapted: Adapted<Model>, place: string, options: PushAdapterOptions): Promise<Pushed> => {
  const { executor, baseModel, ...how } = options;
  const files = memoryFiles();
  const written: string[] = [];
  const noting = {
    ...files,
    write: async (content: ReadonlyMap<string, FileContent>): Promise<void> => {
      written.push(...content.keys());
      await files.write(content);
    },
  };
  await save(adapted, noting, { executor, ...(baseModel !== undefined && { baseModel }) });
  const read = written.map(async (path) => [path, await files.read(path)] as const);
  return pushFiles(place, new Map(await Promise.all(read)), how);
};
