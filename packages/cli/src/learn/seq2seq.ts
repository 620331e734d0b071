import type { DecoderStart } from '@peftjs/data';
import { convert, map, pipe, shiftRight, targetRows } from '@peftjs/data';
import type { Tokenizer } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { loadConfig, seq2seqLM } from '@peftjs/transformer';
import { endingOf, loadTexts, readers } from '../base.ts';
import type { RunConfig } from '../config/schema.ts';
import type { Lesson, Place } from './lesson.ts';
import { oneByOne } from './one-by-one.ts';
import { openFormat } from './texts.ts';

/** The lesson of an encoder and a decoder, and what reads and writes its texts. */
export interface AnswerLesson extends Lesson {
  readonly tokenizer: Tokenizer;
}

/** Learning to write a text that answers another, by an encoder and a decoder: T5, BART. Throws `bad-config` for a model that is none, and as `loadTexts`, `openRows`. */
export const seq2seq = async ({ data, task }: RunConfig, place: Place): Promise<AnswerLesson> => {
  if ((await loadConfig(place.files, { readers })).decoderStartId === undefined)
    throw new PeftError(
      'bad-config',
      `${place.name}: is no encoder-decoder, which task seq2seqLM takes: "@peftjs/base-seq2seq" (npm install it), or the folder of a T5 or BART. A model that writes alone learns source and target by task: causalLM`,
    );
  const tokenizer = await loadTexts(place);
  const rows = targetRows(tokenizer);
  return {
    task: seq2seqLM(),
    tokenizer,
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
