import { convert, map, pipe, type Stream } from '@peftjs/data';
import type { RunConfig } from '../config/schema.ts';
import { openFormat } from '../learn/texts.ts';
import type { Example } from './encode-example.ts';

const takes = ['messages', 'completions', 'alpaca', 'text', 'targets'] as const;

/** The examples of files, whatever their fields are called there. Throws as `openRows`, and `bad-data` for formats that no language model learns from. */
export const openItems = async (files: readonly string[], data: RunConfig['data']): Promise<Stream<Example>> => {
  const { fields, as } = data;
  const { rows, format } = await openFormat(files, data, { who: 'a language model', takes });
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
