import type { Document, DocumentSplit } from '@peftjs/base-model';
import { type Random, randomSource } from '@peftjs/tensor';
import { inDisorder, oneOf, passage, sentencesOf } from './passages.ts';
import { addresses, authors, bookOf } from './texts.ts';

/** A text to go on with and how it goes on: `${text}\n${question}:${answer}`. Of a text that is too long the end is left out. */
export interface Example {
  readonly text: string;
  readonly question: string;
  /** With its space in front. */
  readonly answer: string;
}

/** A task: examples to train on and others, whose texts have other sources. */
export interface Task {
  readonly name: string;
  /** The task in a few words, for the table. */
  readonly about: string;
  readonly train: readonly Example[];
  readonly test: readonly Example[];
}

/** Examples of each split. */
export interface SuiteSizes {
  readonly train: number;
  readonly test: number;
}

type Make = (random: Random, documents: readonly Document[], i: number) => Example;

/** Makes of either split as many examples as there shall be; those of a text that is there before are drawn again. */
const taskOf = (name: string, about: string, split: DocumentSplit, sizes: SuiteSizes, make: Make): Task => {
  const seen = new Set<string>();
  const some = (part: 'train' | 'test', documents: readonly Document[]): Example[] => {
    const random = randomSource(0, `${name} ${part}`);
    const made: Example[] = [];
    while (made.length < sizes[part]) {
      const example = make(random, documents, made.length);
      if (seen.has(example.text)) continue;
      seen.add(example.text);
      made.push(example);
    }
    return made;
  };
  return { name, about, train: some('train', split.train), test: some('test', split.heldOut) };
};

const joined = (splits: readonly DocumentSplit[]): DocumentSplit => ({
  train: splits.flatMap(({ train }) => train),
  heldOut: splits.flatMap(({ heldOut }) => heldOut),
});

/** A passage whose answer is what its document is of, as often each. */
const ofSource =
  (question: string, sources: readonly string[], answer: (source: string) => string = (source) => source): Make =>
  (random, documents, i) => {
    const source = sources[i % sources.length]!;
    const own = documents.filter((document) => document.source === source);
    return { text: passage(oneOf(own, random), 20, random), question, answer: ` ${answer(source)}` };
  };

const words = (
  'apple river stone cloud horse green table night water bread light house music paper glass ' +
  'tree fire king ship road bird gold snow wind corn wolf rose salt moon lamp'
).split(' ');

/** No documents: what is made by a rule. */
const byRule: DocumentSplit = { train: [], heldOut: [] };

/** Pairs of neighbouring sentences of four to twelve words. */
const pairsOf = (documents: readonly Document[]): readonly (readonly string[])[] =>
  documents
    .flatMap(({ text }) => text.split('\n'))
    .flatMap((paragraph) => {
      const sentences = sentencesOf(paragraph);
      return sentences.slice(1).map((sentence, i) => [sentences[i]!, sentence]);
    })
    .filter((pair) => pair.every((sentence) => sentence.split(' ').length >= 4 && sentence.split(' ').length <= 12));

/** Two sentences that follow each other, in their order or the other. */
const order = (): Make => {
  const known = new Map<readonly Document[], readonly (readonly string[])[]>();
  return (random, documents, i) => {
    if (!known.has(documents)) known.set(documents, pairsOf(documents));
    const pair = oneOf(known.get(documents)!, random);
    const swapped = i % 2 === 1;
    const text = (swapped ? pair.toReversed() : pair).join(' ');
    return { text, question: 'order', answer: swapped ? ' wrong' : ' right' };
  };
};

/** The next word of a passage of sixteen. */
const next: Make = (random, documents) => {
  const all = passage(oneOf(documents, random), 18, random).split(' ');
  return { text: all.slice(0, 16).join(' '), question: 'next', answer: ` ${all[16]!.replace(/[^\w]+$/, '')}` };
};

/** The tasks that are trained together, and the one that is left out, of which there are few examples. */
export interface Suite {
  readonly tasks: readonly Task[];
  readonly leftOut: Task;
}

/** Few examples of the left-out task. */
const shots = 32;

/** The whole suite: the same in every run, from the pinned packages alone. */
export const makeSuite = (sizes: SuiteSizes): Suite => {
  const novels = joined(authors.map(bookOf));
  const whale = joined([novels, bookOf('Melville')]);
  const drawn = (random: Random, count: number): string[] => inDisorder(words, random).slice(0, count);
  return {
    tasks: [
      taskOf('author', 'author of a passage, of four', novels, sizes, ofSource('author', authors)),
      taskOf(
        'party',
        "speaker's party, of a State of the Union address",
        addresses(),
        sizes,
        ofSource('party', ['Democrat', 'Republican']),
      ),
      taskOf('order', 'whether two sentences stand in their order', novels, sizes, order()),
      taskOf('next', 'next word of a novel', novels, sizes, next),
      taskOf('copy', 'four words, copied', byRule, sizes, (random) => {
        const own = drawn(random, 4).join(' ');
        return { text: own, question: 'copy', answer: ` ${own}` };
      }),
      taskOf('sort', 'three words, by the alphabet', byRule, sizes, (random) => {
        const own = drawn(random, 3);
        return { text: own.join(' '), question: 'sort', answer: ` ${own.toSorted().join(' ')}` };
      }),
    ],
    leftOut: taskOf('whale', 'whether a passage is by Melville', whale, { ...sizes, train: shots }, (...of) => {
      const sources = of[2] % 2 === 0 ? ['Melville'] : [oneOf(authors, of[0])];
      return ofSource('whale', sources, (source) => (source === 'Melville' ? 'yes' : 'no'))(of[0], of[1], 0);
    }),
  };
};

/** The suite with the last of the training examples of each task, half of those of the left-out task, in the place of those that it is tested on: for choices that may not see those. */
export const withheld = ({ tasks, leftOut }: Suite, tests: number): Suite => {
  const without = (task: Task, count: number): Task => ({
    ...task,
    train: task.train.slice(0, -count),
    test: task.train.slice(-count),
  });
  return { tasks: tasks.map((task) => without(task, tests)), leftOut: without(leftOut, leftOut.train.length / 2) };
};
