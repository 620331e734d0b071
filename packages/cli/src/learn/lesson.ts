import type { BatchOptions, Row, Stream } from '@peftjs/data';
import type { Files } from '@peftjs/io';
import type { Tensor } from '@peftjs/tensor';
import type { Task, TaskModel } from '@peftjs/transformer';
import type { Named } from '../config/named.ts';
import type { RunConfig } from '../config/schema.ts';

/** The folder of a base, before its weights are read. */
export interface Place {
  /** As it was asked for. */
  readonly name: string;
  /** On this machine. */
  readonly path: string;
  readonly files: Files;
}

/** An example's rows; those of a pair or a triplet follow one another. */
export type Encode = (item: never) => readonly Row[] | Promise<readonly Row[]>;

/** A task as a run learns it: the model's task, and how examples become its rows. */
export interface Lesson {
  readonly task: Task<Tensor>;
  /** The task as the run's configuration keeps it: with the names of its classes. */
  readonly kept: Named;
  /** Rows of one example. */
  readonly group: number;
  /** The thing that its loss is a mean over, in the singular. */
  readonly unit: 'token' | 'example' | 'pair';
  /** Columns that are as long as a text, and are cut with it; the first is the text itself. None of pictures. */
  readonly lengths: readonly string[];
  /** The token that ends a row, which stays where one is cut; null for none. */
  readonly ending: number | null;
  /** How rows are put together, beside their number. */
  readonly batch: Pick<BatchOptions, 'pad' | 'shapes' | 'mask'>;
  /** The examples of files. */
  open(files: readonly string[]): Promise<Stream<unknown>>;
  /** An example without what is not its own, by which it is held out or not. */
  key(item: unknown): unknown;
  /** The way of its examples to rows, for the model that learns them. */
  encoder(model: TaskModel<Tensor>): Encode;
}

/** Makes the lesson of a task. Throws as `openRows` does, `bad-data`, `bad-config`. */
export type MakeLesson = (config: RunConfig, place: Place) => Promise<Lesson>;
