import { type DataFormat, type FieldNames, openRows, recognise, type Stream } from '@peftjs/data';
import { isObject } from '@peftjs/io';
import { isPeftError, PeftError } from '@peftjs/tensor';
import type { RunConfig } from '../config/schema.ts';

/** Items by which a format is recognised. */
const looks = 100;

const firstOf = async (rows: Stream<unknown>): Promise<unknown[]> => {
  const items: unknown[] = [];
  for await (const item of rows.open()) if (items.push(item) === looks) break;
  return items;
};

/** The task, and the loss where it is another, that learn from a format. */
const takers: Readonly<Record<DataFormat, string>> = {
  messages: 'task: causalLM',
  completions: 'task: causalLM',
  alpaca: 'task: causalLM',
  text: 'task: causalLM',
  targets: 'task: seq2seqLM, or causalLM',
  labels: 'task: sequenceClassifier',
  tags: 'task: tokenClassifier',
  questions: 'a program: questions are learnt by questionAnswering of @peftjs/transformer',
  preferences: 'objective: dpo',
  judged: 'objective: kto',
};

/** Rows of files, and their format, which is one of those that a task takes. Throws as `openRows`; `bad-data` for other formats and where there is nothing. */
export const openFormat = async <F extends DataFormat>(
  files: readonly string[],
  { format: asked, fields }: Pick<RunConfig['data'], 'format' | 'fields'>,
  { who, takes }: { readonly who: string; readonly takes: readonly F[] },
): Promise<{ readonly rows: Stream<unknown>; readonly format: F }> => {
  const rows = await openRows(files);
  const isTaken = (format: DataFormat): format is F => takes.includes(format as F);
  if (asked !== undefined) {
    if (isTaken(asked)) return { rows, format: asked };
    throw new PeftError('bad-config', `data.format is ${asked}, and ${who} learns from ${takes.join(', ')}`);
  }
  const names = files.join(', ');
  const items = await firstOf(rows);
  if (items.length === 0) throw new PeftError('bad-data', `${names}: there is nothing to learn: no examples`);
  const [first] = items;
  if (Array.isArray(first) && first.some((one) => isObject(one) && !('role' in one) && !('from' in one)))
    throw new PeftError(
      'bad-data',
      `${names}: the first line is a list of examples; the name of such a file ends with .json`,
    );
  try {
    const own = (some: readonly unknown[]): DataFormat => recognise(some, fields as FieldNames | undefined).format;
    const format = own(items);
    if (isTaken(format)) return { rows, format };
    // One that lacks a label makes texts of all.
    const meant = own(items.slice(0, 1));
    if (isTaken(meant))
      for (const [at, one] of items.entries())
        if (own([one]) !== meant)
          throw new PeftError(
            'bad-data',
            `item 0 is ${meant}, but item ${at} is ${own([one])}: a field is missing, or is nothing`,
          );
    throw new PeftError(
      'bad-data',
      `the examples are ${format}, and ${who} learns from ${takes.join(', ')}; what learns from ${format} is ${takers[format]}. Say fields that are called otherwise, as data.fields: { text: review }`,
    );
  } catch (error) {
    if (!isPeftError(error)) throw error;
    throw new PeftError(error.code, `${names}: ${error.message}`, { cause: error });
  }
};
