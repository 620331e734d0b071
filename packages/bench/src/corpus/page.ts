import { markdown } from '../report/markdown.ts';
import { line } from '../stats.ts';
import type { Corpus, Moment } from './corpus.ts';
import { corpusFigure } from './figure.ts';

const count = (n: number): string => Math.round(n).toLocaleString('en');
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);

/** How memory grows, in megabytes for each 10 MB of the file, after the first fifth, in which everything is used for the first time. */
export const growthOf = (moments: readonly Moment[]): number => {
  const late = moments.filter(({ bytes }) => bytes >= moments.at(-1)!.bytes / 5);
  return line(late.map(({ bytes, resident }) => [bytes / 1e7, resident / 1e6])).slope;
};

const rowOf = (corpus: Corpus): string[] => {
  const { model, bytes, tokens, moments, resume, trainedPerProcessorSecond: trained } = corpus;
  const { work } = moments.at(-1)!;
  const late = moments.filter((moment) => moment.bytes >= bytes / 5).map(({ resident }) => resident);
  return [
    model,
    count(tokens / work),
    (bytes / 1e6 / work).toFixed(2),
    count(trained),
    (tokens / work / trained).toFixed(1),
    `${megabytes(Math.min(...late))} to ${megabytes(Math.max(...late))} MB`,
    growthOf(moments).toFixed(1),
    `${resume.work.toFixed(2)} s`,
    `${resume.seconds.toFixed(2)} s`,
  ];
};

/** The page of passes over a corpus, and its figure. */
export const corpusPage = (all: readonly Corpus[]): { readonly page: string; readonly figure: string } => {
  const { megabytes: size, context, rows, machine, lines } = all[0]!;
  const head = [
    'model',
    'tokens a second',
    'MB a second',
    'trained tokens a second',
    'times as many',
    'memory',
    'growth, MB for 10 MB',
    'resumed at 90 %: work',
    'clock',
  ];
  const busy = Math.max(...all.map(({ othersBusy }) => othersBusy));
  const page = `<!-- Made by \`pnpm bench --task data\`. -->

# A corpus on its way to the trainer

${size} MB of JSON lines, ${count(lines)} conversations of four drawn turns each (seed 1): read in blocks of a drawn order, rendered by the model's chat template (ChatML where it has none), encoded, cut where they are
longer than a row (${all.map(({ model, cut }) => `${count(cut)} by the tokens of ${model}`).join(', ')}), packed as whole conversations into rows of ${context} tokens, and put together into batches of ${rows} rows. All in one thread of one process.

Seconds are those of a processor, so that other work on the machine does not count. \`trained tokens\` are those of a training step in the same process, LoRA of rank 8 on the CPU, of the same batches, for each second of a
processor; a step takes all cores, so ${machine.cores} times as many in a second at best. Memory is what was resident after the first fifth.

${markdown([head, ...all.map(rowOf)])}

![Resident memory and tokens a second, every 10 MB](corpus-speed.svg)

A run that goes on opens the stream at its cursor, the place of a block in the file and the conversations of a window that are done; the time is to the first batch. \`pnpm bench --task data --model FOLDER\` measures another model.

Measured ${all.map(({ date }) => date).join(' and ')}, ${machine.processor}, ${machine.cores} cores, ${machine.system}, Node ${machine.node}. ${
    busy > 1
      ? `**The machine was busy**: up to ${busy.toFixed(1)} other processes wanted a core, so times by the clock are too long, and caches were shared.`
      : 'Nothing else ran.'
  }
`;
  return { page, figure: corpusFigure(all) };
};
