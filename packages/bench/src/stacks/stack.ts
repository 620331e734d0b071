import type { Profile } from '@peftjs/tensor';
import type { Values } from '../agreement.ts';
import type { Prepared } from '../data/prepare.ts';

/** The part of a run that is the same for all stacks. */
export interface StackOptions {
  readonly threads: number;
  /** Dawn's toggles, `enable-dawn-features=…`. */
  readonly toggles: readonly string[];
  /** Folder of the installed peers. */
  readonly peers: string;
}

/** Where the time of a task went. */
export interface TaskProfile {
  /** Of each of its programs that ran. */
  readonly profiles: readonly Profile[];
  /** Operations a second of a large product on the same device, right after. */
  readonly limit: number;
}

/** A task made ready on a stack. */
export interface Worker {
  /** The hardware that it runs on, for people: the adapter or the processor's threads. */
  readonly device: string;
  /** Versions of what computes. */
  readonly versions: Readonly<Record<string, string>>;
  /** The whole task once: a product, an optimiser step, a continuation. Resolves when the result is here. */
  run(): Promise<Values>;
  /** The memory that the stack itself counts, in bytes. */
  memory?(): Readonly<Record<string, number>>;
  /** Runs the task, and tells where the time of each of its programs went; where the device can tell. */
  profile?(): Promise<TaskProfile>;
  close(): Promise<void>;
}

/** Makes a task ready on one of the stacks that run in Node. */
export type OpenWorker = (stack: string, prepared: Prepared, options: StackOptions) => Promise<Worker>;
