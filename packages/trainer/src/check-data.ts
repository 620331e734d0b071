import { type Batch, type ColumnRule, columnProblem, ignored, type Origin, type TokenRows } from '@peftjs/data';
import { holds, PeftError, type TypedArray } from '@peftjs/tensor';
import { arrayName } from '@peftjs/tensor/executor';
import type { Column, TaskModel } from '@peftjs/transformer';

/** The reader of data: a model with its task, and the columns that methods ask for. */
export interface DataNeeds {
  readonly model: TaskModel<unknown>;
  readonly columns?: Readonly<Record<string, Column>>;
}

/** A batch, and where its rows come from. */
export interface Placed {
  readonly batch: Batch;
  /** For messages: "batch 7". */
  readonly name: string;
  readonly origin?: Origin | undefined;
}

interface Problem {
  readonly text: string;
  /** The row of the batch that it is about. */
  readonly row?: number;
}

/** Columns of token ids. */
const idColumns = ['ids', 'decoderIds'] as const;

const kindOf = (row: unknown): string => {
  if (Array.isArray(row)) return 'a list';
  return ArrayBuffer.isView(row) ? `a ${row.constructor.name}` : typeof row;
};

/** The rule for a task's labels: classes, or tokens of the vocabulary, or any number. */
const labelRule = ({ task, config }: TaskModel<unknown>, { dtype }: Column): ColumnRule => {
  if (dtype !== 'i32') return { dtype };
  return { dtype, below: task.labels?.length ?? config.vocabSize, none: task.ignoreIndex ?? ignored };
};

/** The first row with a value that breaks a rule. */
const valueProblem = (name: string, data: TypedArray, rows: number, rule: ColumnRule): Problem | null => {
  // A row may be without a label, a batch may not.
  const whole = columnProblem(name, data, rule);
  if (whole === null) return null;
  const size = data.length / rows;
  for (let row = 0; row < rows; row++) {
    const part = data.subarray(row * size, (row + 1) * size);
    const text = columnProblem(name, part, rule);
    const isEmptyOfLabels = rule.none !== undefined && part.every((value) => value === rule.none);
    if (text !== null && !isEmptyOfLabels) return { text, row };
  }
  return { text: whole };
};

/** Whether a shape is that of a column; words stand for one length each. */
const fits = (shape: readonly number[], rows: number, column: Column, lengths: Map<string, number>): boolean => {
  const own = shape.slice(1);
  return (
    shape[0] === rows &&
    own.length === column.shape.length &&
    column.shape.every((dim, i) => {
      if (typeof dim === 'number') return own[i] === dim;
      const known = lengths.get(dim);
      if (known === undefined) lengths.set(dim, own[i]!);
      return known === undefined || known === own[i];
    })
  );
};

const problemOf = ({ model, columns: asked = {} }: DataNeeds, { rows, columns, shapes }: Batch): Problem | null => {
  const { task, config } = model;
  const wanted: Readonly<Record<string, Column>> = {
    ids: { shape: ['tokens'], dtype: 'i32' },
    ...task.columns,
    ...asked,
  };
  const missing = Object.keys(wanted).filter((name) => !columns[name]);
  if (missing.length > 0)
    return {
      text: `has columns ${Object.keys(columns).join(', ') || 'none'}; ${task.name} of ${config.modelType} reads ${missing.join(', ')} too`,
    };
  const lengths = new Map<string, number>();
  for (const [name, column] of Object.entries(wanted)) {
    const [data, shape] = [columns[name]!, shapes[name] ?? []];
    if (!holds(column.dtype, data))
      return { text: `${name} is a ${(data as object).constructor.name}, it must be a ${arrayName(column.dtype)}` };
    // Of two towers each has a length of its own; their task checks it against theirs.
    if (!fits(shape, rows, column, columns['decoderIds'] ? new Map() : lengths)) {
      const taken = [rows, ...column.shape].join(', ');
      const hint =
        shape.length > column.shape.length + 1 ? `; say so to \`batch\`: shapes: { ${name}: [${column.shape}] }` : '';
      return { text: `${name} has the shape [${shape.join(', ')}], it must be [${taken}]${hint}` };
    }
  }
  for (const name of idColumns) {
    const data = columns[name];
    if (!data) continue;
    const tokens = shapes[name]?.[1] ?? 0;
    if (tokens > config.maxPositions)
      return {
        text: `${name} has ${tokens} tokens in a row, the model takes ${config.maxPositions}; cut the rows, or pack them with a shorter context`,
      };
    const problem = valueProblem(name, data, rows, { dtype: 'i32', below: config.vocabSize });
    if (problem) return problem;
  }
  const labels = task.columns['labels'];
  return labels ? valueProblem('labels', columns['labels']!, rows, labelRule(model, labels)) : null;
};

/**
 * Checks a batch before it is trained on or measured: columns that are missing, of another type or shape, ids that the vocabulary lacks, rows that are longer
 * than the model's positions, labels that there are not, no label at all. Throws `bad-data` with row, place and value.
 */
export const checkBatch = async (needs: DataNeeds, { batch, name, origin }: Placed): Promise<void> => {
  const problem = problemOf(needs, batch);
  if (!problem) return;
  const { text, row } = problem;
  const place = row === undefined ? name : origin ? await origin(row) : `row ${row} of ${name}`;
  throw new PeftError('bad-data', `${place}: ${text}`);
};

/** Checks all rows of tokens before the first step. Throws `bad-data` with row, place and value. */
export const checkRows = (who: string, { model }: DataNeeds, { rows, context }: TokenRows): void => {
  const { config } = model;
  const refuse = (text: string): never => {
    throw new PeftError('bad-data', `${who}: ${text}`);
  };
  if (!Number.isSafeInteger(context) || context < 1)
    refuse(`the context of the rows is ${context}; pack them with \`packTokens\``);
  if (context > config.maxPositions)
    refuse(`rows have ${context} positions, the model takes ${config.maxPositions}; pack them with a shorter context`);
  if (rows.length === 0) refuse('there are no rows');
  const rule: ColumnRule = { dtype: 'i32', below: config.vocabSize };
  for (const [i, row] of rows.entries()) {
    if (!holds('i32', row)) refuse(`row ${i} is ${kindOf(row)}, it must be an Int32Array; \`packTokens\` makes them`);
    if (row.length < 2 || row.length > context + 1)
      refuse(`row ${i} has ${row.length} tokens; rows of context ${context} have 2 to ${context + 1}`);
    const problem = columnProblem('ids', row, rule);
    if (problem) refuse(`row ${i}: ${problem}`);
  }
};
