import { type Batch, type ColumnRule, columnProblem, ignored, type Origin, type TokenRows } from '@peftjs/data';
import { holds, PeftError, type TypedArray } from '@peftjs/tensor';
import { arrayName } from '@peftjs/tensor/executor';
import type { Column, TaskModel } from '@peftjs/transformer';

/** The uses of data: a model with its task, and the columns that methods ask for. */
export interface DataNeeds {
  readonly model: TaskModel<unknown>;
  readonly columns?: Readonly<Record<string, Column>>;
  /** Whether an objective of its own decides which columns there must be. Default: no. */
  readonly free?: boolean;
  /** Whether batches are parts of a step, of which some may be without a label. Default: no. */
  readonly parts?: boolean;
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

/** Python's names of columns that have another name here: they would go unread. */
const pythonNames: Readonly<Record<string, string>> = {
  input_ids: 'ids',
  attention_mask: 'mask',
  token_type_ids: 'tokenTypes',
  decoder_input_ids: 'decoderIds',
  decoder_attention_mask: 'decoderMask',
  pixel_values: 'pixels',
};

const kindOf = (row: unknown): string => {
  if (Array.isArray(row)) return 'a list';
  return ArrayBuffer.isView(row) ? `a ${row.constructor.name}` : typeof row;
};

/** The rule for a task's labels: classes, or tokens of the vocabulary, or any number. */
const labelRule = ({ task, config }: TaskModel<unknown>, { dtype, below }: Column): ColumnRule => {
  if (dtype !== 'i32') return { dtype };
  if (below !== undefined) return { dtype, below };
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

/** A column that is wanted. `rule`: what its values must be. */
interface Wanted extends Column {
  readonly required: boolean;
  readonly rule?: ColumnRule;
}

/** All columns that the towers, the task and the methods read. A word in a shape is a length: `tokens` those of the tower that the task reads. */
const wantedOf = ({ model, columns = {}, free = false }: DataNeeds): Readonly<Record<string, Wanted>> => {
  const { task, config, towers, main, makes } = model;
  const given = task.gives ?? {};
  const ofTowers = towers.flatMap(({ name, reads }): [string, Wanted][] => {
    if (Object.hasOwn(given, reads.ids)) return [];
    const required = !free && !makes.includes(reads.ids) && (task.towers?.includes(name) ?? true);
    if (reads.picture) {
      const [channels] = reads.picture;
      const sizes = reads.anySize ? [channels, 'height', 'width'] : reads.picture;
      return [[reads.ids, { shape: sizes, required, dtype: 'f32' }]];
    }
    const shape = [name === main.name ? 'tokens' : `tokens of the ${name}`];
    const whole = (below: number): Pick<Wanted, 'dtype' | 'rule'> => ({ dtype: 'i32', rule: { dtype: 'i32', below } });
    return [
      [reads.ids, { shape, required, ...whole(config.vocabSize) }],
      [reads.mask, { shape, required: false, dtype: 'f32', rule: { dtype: 'f32', least: 0, below: 2 } }],
      // Several texts in a row of a decoder, told apart by their numbers.
      ['documents', { shape, required: false, dtype: 'i32', rule: { dtype: 'i32', least: 0 } }],
      ...Object.entries(reads.kinds ?? {}).map(([kind, below]): [string, Wanted] => [
        kind,
        { shape, required: false, ...whole(below) },
      ]),
    ];
  });
  const others = Object.entries({ ...task.columns, ...columns }).map(([name, column]): [string, Wanted] => {
    const { dtype, below } = column;
    const rule = name === 'labels' ? labelRule(model, column) : below === undefined ? undefined : { dtype, below };
    return [name, { ...column, required: !free, ...(rule && { rule }) }];
  });
  return Object.fromEntries([...ofTowers, ...others]);
};

const problemOf = (needs: DataNeeds, { rows, columns, shapes }: Batch): Problem | null => {
  const { task, config, passPositions } = needs.model;
  const all = Object.entries(wantedOf(needs));
  const has = Object.keys(columns);
  const odd = has.filter((name) => Object.hasOwn(pythonNames, name));
  if (odd.length > 0)
    return {
      text: `has ${odd.map((name) => `a column ${name}, which is called ${pythonNames[name]} here`).join('; ')}`,
    };
  const missing = all.filter(([name, { required }]) => required && !columns[name]).map(([name]) => name);
  if (missing.length > 0)
    return {
      text:
        `has columns ${has.join(', ') || 'none'}; ${task.name} of ${config.modelType} reads ${missing.join(', ')} too` +
        `${missing.includes('decoderIds') ? '. `shiftRight(model.config)` makes decoderIds of labels' : ''}`,
    };
  const wanted = all.filter(([name]) => columns[name]);
  const lengths = new Map<string, number>();
  for (const [name, column] of wanted) {
    const [data, shape] = [columns[name]!, shapes[name] ?? []];
    if (!holds(column.dtype, data))
      return { text: `${name} is a ${(data as object).constructor.name}, it must be a ${arrayName(column.dtype)}` };
    if (!fits(shape, rows, column, lengths)) {
      const taken = [rows, ...column.shape.map((dim) => lengths.get(`${dim}`) ?? dim)].join(', ');
      const hint =
        shape.length > column.shape.length + 1 ? `; say so to \`batch\`: shapes: { ${name}: [${column.shape}] }` : '';
      return { text: `${name} has the shape [${shape.join(', ')}], it must be [${taken}]${hint}` };
    }
  }
  const most = Math.min(config.maxPositions, passPositions);
  for (const [name, { rule, shape }] of wanted) {
    const data = columns[name]!;
    const tokens = shape.length > 0 ? (shapes[name]![1] ?? 0) : 0;
    if (name !== 'labels' && tokens > most)
      return {
        text: `${name} has ${tokens} tokens in a row, the model takes ${most}; cut the rows, or pack them with a shorter context`,
      };
    const isWithout = needs.parts === true && rule?.none !== undefined && data.every((value) => value === rule.none);
    const problem = rule && !isWithout && valueProblem(name, data, rows, rule);
    if (problem) return problem;
  }
  return null;
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
