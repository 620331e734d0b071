import { map, openRows, pipe, type Row } from '@peftjs/data';
import { PeftError } from '@peftjs/tensor';
import {
  contrastivePairs,
  cosineSimilarity,
  type EmbeddingLoss,
  featureExtraction,
  multipleNegatives,
  type Pooling,
  triplets,
} from '@peftjs/transformer';
import { endingOf, loadTexts } from '../base.ts';
import type { RunConfig } from '../config/schema.ts';
import type { MakeLesson } from './lesson.ts';

/** Texts that are compared, and how like they are. */
interface Compared {
  readonly texts: readonly string[];
  readonly label?: number;
}

type Fields = Readonly<Record<string, unknown>>;

const [pair, triplet, scored] = [
  ['anchor', 'positive'],
  ['anchor', 'positive', 'negative'],
  ['sentence1', 'sentence2'],
] as const;

/** The loss by its name, and the fields of its examples. */
const losses: Readonly<
  Record<
    string,
    { readonly fields: readonly (readonly string[])[]; readonly scores: boolean; make(texts: number): EmbeddingLoss }
  >
> = {
  multipleNegatives: {
    fields: [triplet, pair],
    scores: false,
    make: (texts) => multipleNegatives({ negatives: texts - 2 }),
  },
  triplets: { fields: [triplet], scores: false, make: () => triplets() },
  cosineSimilarity: { fields: [scored], scores: true, make: () => cosineSimilarity() },
  contrastivePairs: { fields: [scored], scores: true, make: () => contrastivePairs() },
};

const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The texts of an item in these fields; null where it lacks one. */
const textsIn = (item: unknown, names: readonly string[], { fields }: RunConfig['data']): readonly string[] | null => {
  if (!isRecord(item)) return null;
  const texts = names.map((name) => item[fields?.[name] ?? name]);
  return texts.every((text) => typeof text === 'string' && text !== '') ? (texts as string[]) : null;
};

/** The label of a pair, 0 to 1. Throws `bad-data`. */
const labelIn = (item: unknown, { fields }: RunConfig['data']): number => {
  const name = fields?.['label'] ?? 'label';
  const label = Number((item as Fields)[name] ?? Number.NaN);
  if (label >= -1 && label <= 1) return label;
  throw new PeftError(
    'bad-data',
    `has ${String((item as Fields)[name])} as ${name}; it is a number from -1 to 1, how like the texts are`,
  );
};

/** Learning vectors of texts by comparing them: pairs that belong together, triplets, pairs with a likeness. */
export const vectors: MakeLesson = async ({ data, task }, place) => {
  const tokenizer = await loadTexts(place);
  const name = task['loss'] as string;
  const { fields, scores, make } = losses[name]!;
  const needs = fields.map((names) => [...names, ...(scores ? ['label'] : [])].join(', ')).join(', or ');
  const ask = (item: unknown): PeftError =>
    new PeftError(
      'bad-data',
      `has the fields ${isRecord(item) ? Object.keys(item).join(', ') : 'of none'}; ${name} learns from texts as ${needs}. Say fields that are called otherwise, as data.fields: { anchor: question }`,
    );
  // All examples are as the first is.
  let names = fields[0]!;
  for await (const item of (await openRows(data.train)).open()) {
    const found = fields.find((own) => textsIn(item, own, data));
    if (!found) throw new PeftError('bad-data', `${data.train.join(', ')}: the first example ${ask(item).message}`);
    names = found;
    break;
  }
  const loss = make(names.length);
  const read = map((item: unknown): Compared => {
    const texts = textsIn(item, names, data);
    if (!texts) throw ask(item);
    return { texts, ...(scores && { label: labelIn(item, data) }) };
  });
  return {
    task: featureExtraction({ pooling: task['pooling'] as Pooling, loss }),
    kept: task,
    group: loss.group,
    unit: 'example',
    lengths: ['ids'],
    ending: endingOf(tokenizer),
    batch: { mask: true, shapes: scores ? { labels: [] } : {} },
    key: (item) => item,
    open: async (files) => pipe(await openRows(files), read),
    encoder:
      () =>
      ({ texts, label }: Compared): readonly Row[] =>
        texts.map((text) => ({
          ids: tokenizer.encode(text),
          ...(label !== undefined && { labels: Float32Array.of(label) }),
        })),
  };
};
