import type { DecoderStart } from '@peftjs/data';
import { convert, map, pipe, shiftRight, targetRows } from '@peftjs/data';
import { seq2seqLM } from '@peftjs/transformer';
import { endingOf, loadTexts } from '../base.ts';
import type { MakeLesson } from './lesson.ts';
import { oneByOne } from './one-by-one.ts';
import { openFormat } from './texts.ts';

/** Learning to write a text that answers another, by an encoder and a decoder: T5, BART. */
export const seq2seq: MakeLesson = async ({ data, task }, place) => {
  const tokenizer = await loadTexts(place);
  const rows = targetRows(tokenizer);
  return {
    task: seq2seqLM(),
    kept: task,
    group: 1,
    unit: 'token',
    lengths: ['ids', 'labels', 'decoderIds'],
    ending: endingOf(tokenizer),
    batch: { pad: { decoderIds: 0 } },
    key: (item) => item,
    open: async (files) => {
      const found = await openFormat(files, data, { who: 'seq2seqLM', takes: ['targets'] });
      return pipe(found.rows, convert('targets', data.fields ? { fields: data.fields } : {}));
    },
    encoder: ({ config }) => {
      const start = config as unknown as DecoderStart;
      return oneByOne((input) =>
        pipe(
          input,
          rows,
          map((row) => ({ ...row })),
          shiftRight(start),
        ),
      );
    },
  };
};
