import type { FileContent } from './file-content.ts';

/** Bytes `start` (default 0) to `end` of a file, without `end` itself; what lies beyond the end of the file is left out. */
export interface ByteRange {
  readonly start?: number;
  readonly end?: number;
}

/** One version of a file, opened for many reads. */
export interface OpenFile {
  readonly size: number;
  /** Another text for another file at the same path, where that can be told. */
  readonly version?: string;
  /** Whether it holds something of the system until it is closed, as a file on disk does. */
  readonly holds?: boolean;
  /** Whether reading what lies behind costs reading all before it again, as in a compressed file. */
  readonly isSequential?: boolean;
  /**
   * Fills the array with the bytes from `at` on, fewer where the file ends before; how many it were. Reads may run side by side. Throws
   * `read-failed`, also where the file is another one by now and the old one is gone.
   */
  read(at: number, into: Uint8Array): Promise<number>;
  /** Gives what is held back to the system, once the reads under way are done. */
  close(): Promise<void>;
}

/**
 * A folder of bytes: on disk, at a URL, of Blobs, in memory, in a browser's private file system. Paths are relative, their parts joined by `/`;
 * any part that leads out of the folder is refused with `bad-option`.
 */
export interface Files {
  /** The path or URL, for messages. */
  readonly name: string;
  /**
   * Names of what lies directly in a folder (default: the top), sorted; those of folders end with `/`. Null where the place can't tell, as a
   * URL. Throws `file-missing` where there is no such folder.
   */
  list(folder?: string): Promise<readonly string[] | null>;
  /** Bytes of a file; null where there is none. Throws `read-failed` where that can't be told. */
  size(path: string): Promise<number | null>;
  /** The bytes of a file, or some of them. Throws `file-missing`, `read-failed`. */
  read(path: string, range?: ByteRange): Promise<Uint8Array<ArrayBuffer>>;
  /** Opens a file. Throws `file-missing`, `read-failed`. */
  open(path: string): Promise<OpenFile>;
}

/** Files that can be written. */
export interface WritableFiles extends Files {
  /**
   * Writes files that belong together, with the folders that they need. The last one is the mark of the whole: it goes away first and comes
   * last, so that whoever reads it first never sees a mixture. What fails before that leaves everything as it was. Throws `write-failed`; a
   * `PeftError` of the content passes as it is.
   */
  write(files: ReadonlyMap<string, FileContent>): Promise<void>;
  /**
   * Finishes a write that was cut short, where that is possible, or waits for one that is under way; whether there was one. Whoever reads
   * several files that belong together asks before and after. Throws `write-failed` where it can't be finished.
   */
  settle?(): Promise<boolean>;
  /** Throws `write-failed` where a file could not be written, as far as that can be told; changes nothing. */
  attempt?(path: string): Promise<void>;
  /** Keeps what a path holds under `<path>.1` when it is written the next time, and older ones up to `<path>.<count>`. Throws `write-failed`. */
  keep?(path: string, count: number): Promise<void>;
}

/** A folder: `Files`, a URL, or a text that is one (`https://…`), a repository on the hub (`hub:owner/name`), or a path on disk; in a browser every other text is a URL. */
export type Place = string | URL | Files;

/** A file: a path on disk, a URL, one on the hub (`hub:owner/name/path`), or a path in `Files`. */
export type FilePlace = string | URL | FileIn;

/** A file of some `Files`. */
export interface FileIn {
  readonly files: Files;
  readonly path: string;
}
