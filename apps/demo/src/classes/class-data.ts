import type { Row } from '@peftjs/data';
import type { Shape, Tensor } from '@peftjs/tensor';
import type { Task } from '@peftjs/transformer';

/** An example of a class, and what people see of it. */
export interface ClassExample {
  /** Its columns: what the model reads, and `labels`. */
  readonly row: Row;
  /** The number of its class. */
  readonly label: number;
  readonly shown: { readonly text: string } | { readonly image: string };
}

/** Examples of classes to tell apart, and the model that is taught to. */
export interface ClassData {
  /** For people: `spam or not`. */
  readonly name: string;
  /** The examples in one word: `mails`. */
  readonly examples: string;
  /** The folder of the model. */
  readonly dir: string;
  /** The name by which an adapter knows it. */
  readonly base: string;
  readonly labels: readonly string[];
  readonly task: Task<Tensor>;
  readonly train: readonly ClassExample[];
  readonly test: readonly ClassExample[];
  /** Shapes, in a row, of columns that are no lists. */
  readonly shapes: Readonly<Record<string, Shape>>;
  /** Tokens that rows are filled up to, with a mask that says where they end; null for rows that are as long as each other. */
  readonly length: number | null;
}
