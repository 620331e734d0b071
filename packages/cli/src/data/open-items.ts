import { convert, type DataFormat, map, openRows, pipe, recognise, type Stream } from '@peftjs/data';
import { isPeftError, PeftError } from '@peftjs/tensor';
import type { RunConfig } from '../config/schema.ts';
import type { Example } from './encode-example.ts';

/** Items by which a format is recognised. */
const looks = 100;

const known = ['messages', 'completions', 'alpaca', 'text', 'targets'] as const;
type Known = (typeof known)[number];

const isKnown = (format: DataFormat): format is Known => known.includes(format as Known);

const formatOf = async (
  rows: Stream<unknown>,
  names: string,
  fields: Readonly<Record<string, string>> | undefined,
): Promise<Known> => {
  const items: unknown[] = [];
  for await (const item of rows.open()) if (items.push(item) === looks) break;
  if (items.length === 0) throw new PeftError('bad-data', `${names}: there is nothing to learn: no examples`);
  try {
    const { format } = recognise(items, fields);
    if (isKnown(format)) return format;
    throw new PeftError(
      'bad-data',
      `the examples are ${format}, and a language model learns from ${known.join(', ')}; say fields that are called otherwise, as data.fields: { text: review }`,
    );
  } catch (error) {
    if (!isPeftError(error)) throw error;
    throw new PeftError(error.code, `${names}: ${error.message}`, { cause: error });
  }
};

/** The examples of files, whatever their fields are called there. Throws as `openRows`, and `bad-data` for formats that no language model learns from. */
export const openItems = async (
  files: readonly string[],
  { format: asked, fields, as }: Pick<RunConfig['data'], 'format' | 'fields' | 'as'>,
): Promise<Stream<Example>> => {
  const rows = await openRows(files);
  const format = (asked as Known | undefined) ?? (await formatOf(rows, files.join(', '), fields));
  const how = fields ? { fields } : {};
  if (format === 'messages' || format === 'text') return pipe(rows, convert(format, how));
  if (format !== 'targets') return pipe(rows, convert(format, { ...how, as }));
  const asCompletion = map(
    ({ source, target }: { readonly source: string; readonly target: string }): Example =>
      as === 'text'
        ? { prompt: source, completion: target }
        : {
            messages: [
              { role: 'user', content: source },
              { role: 'assistant', content: target },
            ],
          },
  );
  return pipe(rows, convert(format, how), asCompletion);
};
