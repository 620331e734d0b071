import type { FileMap } from './mutate-files.ts';

/** A reader that is tried: folders that it reads, and what is done with one. */
export interface Target {
  readonly name: string;
  /** Sound folders, of which the odd ones are made. */
  seeds(): Promise<readonly FileMap[]>;
  /** Further files that are always sound: the base models of adapters. */
  context?(): Promise<FileMap>;
  /** Reads a folder. Whatever it throws must be a `PeftError`. */
  run(files: FileMap, context: FileMap): Promise<void>;
}
