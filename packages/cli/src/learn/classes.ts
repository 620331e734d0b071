import { classNames, convert, type LabelItem, labelRows, pipe, type Stream, type TagItem, tagRows } from '@peftjs/data';
import { isPeftError, PeftError } from '@peftjs/tensor';
import { type Problem, sequenceClassifier, tokenClassifier } from '@peftjs/transformer';
import { endingOf, loadTexts } from '../base.ts';
import type { RunConfig } from '../config/schema.ts';
import type { MakeLesson } from './lesson.ts';
import { oneByOne } from './one-by-one.ts';
import { openFormat } from './texts.ts';

const open = async <F extends 'labels' | 'tags'>(
  who: string,
  takes: F,
  data: RunConfig['data'],
  files: readonly string[],
) => {
  const { rows } = await openFormat(files, data, { who, takes: [takes] });
  return pipe(rows, convert(takes, data.fields ? { fields: data.fields } : {}));
};

/** Throws `bad-data` for names that differ only in large letters or in spaces: whoever wrote them meant one class. */
const checkAlike = (names: readonly string[]): void => {
  const byWord = new Map<string, string[]>();
  for (const name of names) {
    const word = name.trim().replace(/\s+/g, ' ').toLowerCase();
    byWord.set(word, [...(byWord.get(word) ?? []), name]);
  }
  const alike = [...byWord.values()].filter((own) => own.length > 1);
  if (alike.length === 0) return;
  const shown = alike.map((own) => own.map((name) => JSON.stringify(name)).join(' and ')).join('; ');
  throw new PeftError(
    'bad-data',
    `classes differ only in large letters or spaces: ${shown}; write them alike, or name all classes as task.labels`,
  );
};

/** The names of the classes: those that are given, or those that the examples have. */
const classesOf = async (
  given: unknown,
  items: () => Promise<Stream<LabelItem | TagItem>>,
  files: readonly string[],
): Promise<readonly string[]> => {
  if (given !== undefined) return given as readonly string[];
  try {
    const names = await classNames(await items());
    checkAlike(names);
    if (names.length > 1) return names;
    throw new PeftError(
      'bad-data',
      `there is one class, ${names[0] ?? 'none'}, so nothing to tell apart; name all classes as task.labels`,
    );
  } catch (error) {
    if (!isPeftError(error)) throw error;
    const isPlaced = files.some((file) => error.message.includes(file));
    throw isPlaced ? error : new PeftError(error.code, `${files.join(', ')}: ${error.message}`, { cause: error });
  }
};

/** How many numbers an example has as label. */
const numbersIn = async (items: Stream<LabelItem>): Promise<number> => {
  for await (const { label } of items.open()) return Array.isArray(label) ? label.length : 1;
  return 1;
};

/** Learning the class of a text, or of two; each of its classes; or numbers. */
export const labelled: MakeLesson = async ({ data, task }, place) => {
  const tokenizer = await loadTexts(place);
  const problem = task['problem'] as Problem;
  const items = () => open('sequenceClassifier', 'labels', data, data.train) as Promise<Stream<LabelItem>>;
  const labels =
    problem === 'regression' && task['labels'] === undefined
      ? Array.from({ length: await numbersIn(await items()) }, (_, i) => `value ${i}`)
      : await classesOf(task['labels'], items, data.train);
  return {
    task: sequenceClassifier({ labels, problem }),
    kept: { ...task, labels },
    group: 1,
    unit: 'example',
    lengths: ['ids', 'tokenTypes'],
    ending: endingOf(tokenizer),
    batch: { mask: true, shapes: { labels: problem === 'single-label' ? [] : [labels.length] } },
    key: (item) => item,
    open: (files) => open('sequenceClassifier', 'labels', data, files),
    encoder: () => oneByOne(labelRows(tokenizer, { labels, problem })),
  };
};

/** Learning the class of each word. */
export const tagged: MakeLesson = async ({ data, task }, place) => {
  const tokenizer = await loadTexts(place);
  const items = () => open('tokenClassifier', 'tags', data, data.train) as Promise<Stream<TagItem>>;
  const labels = await classesOf(task['labels'], items, data.train);
  return {
    task: tokenClassifier({ labels }),
    kept: { ...task, labels },
    group: 1,
    unit: 'token',
    lengths: ['ids', 'labels'],
    ending: endingOf(tokenizer),
    batch: { mask: true },
    key: (item) => item,
    open: (files) => open('tokenClassifier', 'tags', data, files),
    encoder: () => oneByOne(tagRows(tokenizer, { labels })),
  };
};
