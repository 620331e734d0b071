import { isObject } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { kindOf } from '../words.ts';
import { type Fields, fromJson, isText, named, pairNamed } from './fields.ts';
import type { LabelItem, QuestionItem, TagItem, TargetItem, TextItem } from './items.ts';
import type { Layout } from './layout.ts';

const textNames = ['text', 'content'];

export const text: Layout<TextItem> = {
  needs: 'text (content)',
  uses: (fields) => {
    const name = named(fields, textNames, isText);
    return name === undefined ? null : [name];
  },
  convert: (fields) => [{ text: fields[named(fields, textNames, isText)!] as string }],
};

const isOneLabel = (value: unknown): boolean => isText(value) || Number.isFinite(value) || typeof value === 'boolean';
const isLabel = (value: unknown): boolean => isOneLabel(value) || (Array.isArray(value) && value.every(isOneLabel));
const labelNames = ['label', 'labels', 'class', 'category'];
const labelTexts = [...textNames, 'sentence'];
const labelPairs = [
  ['sentence1', 'sentence2'],
  ['premise', 'hypothesis'],
  ['question1', 'question2'],
  ['text1', 'text2'],
  ['text', 'text_pair'],
  ['question', 'sentence'],
] as const;

const labelPlace = (fields: Fields): { readonly texts: readonly string[]; readonly label: string } | null => {
  const one = named(fields, labelTexts, isText);
  const texts = pairNamed(fields, labelPairs, isText) ?? (one === undefined ? undefined : [one]);
  const label = named(fields, labelNames, isLabel);
  return texts && label !== undefined ? { texts, label } : null;
};

const plainLabel = (value: unknown): string | number =>
  typeof value === 'boolean' ? String(value) : (value as string | number);

export const labels: Layout<LabelItem> = {
  needs:
    'text (sentence, content), or two such as sentence1 and sentence2, and label (labels, class, category): a name, a number, or a list of them',
  uses: (fields) => {
    const place = labelPlace(fields);
    return place && [...place.texts, place.label];
  },
  convert: (fields) => {
    const { texts, label } = labelPlace(fields)!;
    const [own, pair] = texts.map((name) => fields[name] as string);
    const value = fields[label];
    const given = Array.isArray(value) ? value.map(plainLabel) : plainLabel(value);
    return [{ text: own!, ...(pair !== undefined && { pair }), label: given }];
  },
};

const wordNames = ['tokens', 'words'];
const tagNames = ['tags', 'ner_tags', 'pos_tags', 'chunk_tags', 'labels'];
const isWords = (value: unknown): boolean => {
  const read = fromJson(value);
  return Array.isArray(read) && read.length > 0 && read.every(isText);
};
const isTags = (value: unknown): boolean => {
  const read = fromJson(value);
  return Array.isArray(read) && read.length > 0 && read.every((tag) => isText(tag) || Number.isInteger(tag));
};

export const tags: Layout<TagItem> = {
  needs: 'tokens (words), and tags (ner_tags, pos_tags, labels): two lists, as long as each other',
  uses: (fields) => {
    const [words, tag] = [named(fields, wordNames, isWords), named(fields, tagNames, isTags)];
    return words === undefined || tag === undefined ? null : [words, tag];
  },
  doubt: (fields) => {
    const all = tagNames.filter((name) => named(fields, [name], isTags) !== undefined);
    return all.length > 1 && all[0] !== 'tags'
      ? `the tags could be ${all.join(' or ')}: name them, as { tags: '${all[0]}' }`
      : null;
  },
  convert: (fields) => {
    const words = fromJson(fields[named(fields, wordNames, isWords)!]) as readonly string[];
    const own = fromJson(fields[named(fields, tagNames, isTags)!]) as readonly (string | number)[];
    if (words.length === own.length) return [{ tokens: words, tags: own }];
    throw new PeftError('bad-data', `has ${words.length} tokens and ${own.length} tags; each token has one`);
  },
};

/** Answers as SQuAD has them: `{ text: […], answer_start: […] }`, or a list of `{ text, answer_start }`. Null for anything else. */
const answersIn = (value: unknown): QuestionItem['answers'] | null => {
  const read = fromJson(value);
  const texts = isObject(read) ? read['text'] : undefined;
  const starts = isObject(read) ? read['answer_start'] : undefined;
  const list: unknown =
    Array.isArray(texts) && Array.isArray(starts) && texts.length === starts.length
      ? texts.map((one: unknown, i) => ({ text: one, answer_start: starts[i] as unknown }))
      : read;
  if (!Array.isArray(list)) return null;
  const found = (list as readonly unknown[]).map((one) =>
    isObject(one) && isText(one['text']) && Number.isInteger(one['answer_start'])
      ? { text: one['text'], start: one['answer_start'] as number }
      : null,
  );
  return found.every((one) => one !== null) ? found : null;
};

/** SQuAD counts characters, a text here has UTF-16 units. */
const unitsAt = (context: string, characters: number): number => {
  let units = 0;
  for (let n = 0; n < characters && units < context.length; n++) units += context.codePointAt(units)! > 0xffff ? 2 : 1;
  return units;
};

const questionOf = (fields: Fields, context: string): QuestionItem => {
  const answers = answersIn(fields['answers'])!.map(({ text: own, start }) => {
    const at = [unitsAt(context, start), start].find((units) => context.startsWith(own, units));
    if (at !== undefined) return { text: own, start: at };
    throw new PeftError(
      'bad-data',
      `says that the answer ${kindOf(own).replace('the text ', '')} stands at character ${start} of the context, where ${kindOf(context.slice(unitsAt(context, start)).slice(0, own.length)).replace('the text ', '')} stands`,
    );
  });
  const { id, question } = fields;
  return {
    ...((isText(id) || typeof id === 'number') && { id: String(id) }),
    question: question as string,
    context,
    answers,
  };
};

/** An article of a SQuAD file: paragraphs, each with its questions. */
const paragraphsIn = (fields: Fields): readonly Fields[] | null => {
  const { paragraphs } = fields;
  const isParagraph = (one: unknown): boolean =>
    isObject(one) &&
    isText(one['context']) &&
    Array.isArray(one['qas']) &&
    one['qas'].every((qa) => isObject(qa) && isText(qa['question']) && answersIn(qa['answers']) !== null);
  return Array.isArray(paragraphs) && paragraphs.every(isParagraph) ? (paragraphs as readonly Fields[]) : null;
};

export const questions: Layout<QuestionItem> = {
  needs:
    'question, context and answers ({ text: […], answer_start: […] }), or paragraphs of these as in the files of SQuAD',
  uses: (fields) => {
    if (paragraphsIn(fields)) return ['paragraphs'];
    const isOne = isText(fields['question']) && isText(fields['context']) && answersIn(fields['answers']) !== null;
    return isOne ? ['question', 'context', 'answers'] : null;
  },
  convert: (fields) =>
    paragraphsIn(fields)?.flatMap(({ context, qas }) =>
      (qas as readonly Fields[]).map((qa) => questionOf(qa, context as string)),
    ) ?? [questionOf(fields, fields['context'] as string)],
};

const targetPairs = [
  ['source', 'target'],
  ['src', 'tgt'],
  ['document', 'summary'],
  ['article', 'highlights'],
  ['article', 'summary'],
  ['dialogue', 'summary'],
  ['text', 'summary'],
  ['input_text', 'target_text'],
  ['input', 'output'],
] as const;

export const targets: Layout<TargetItem> = {
  needs: 'source and target (document or article and summary): texts',
  uses: (fields) => pairNamed(fields, targetPairs, isText) ?? null,
  convert: (fields) => {
    const [source, target] = pairNamed(fields, targetPairs, isText)!;
    return [{ source: fields[source] as string, target: fields[target] as string }];
  },
};
