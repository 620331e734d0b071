import { ignored, type Row } from '@peftjs/data';
import type { Tokenizer } from '@peftjs/io';
import type { Lesson } from '../learn/lesson.ts';

type Decode = Pick<Tokenizer, 'decode'>;

/** Tokens as text, what is learnt of them between ⟦ and ⟧. */
const written = (ids: ArrayLike<number>, labels: ArrayLike<number>, { decode }: Decode): string => {
  const last = labels[labels.length - 1]!;
  const all = [...Array.from(ids), ...(last === ignored ? [] : [last])];
  const learnt = (at: number): boolean => at > 0 && labels[at - 1] !== ignored;
  let text = '';
  for (let from = 0; from < all.length; ) {
    let to = from;
    while (to < all.length && learnt(to) === learnt(from)) to++;
    const part = decode(all.slice(from, to));
    text += learnt(from) ? `⟦${part}⟧` : part;
    from = to;
  }
  return text;
};

/** Each word's first token with its class behind it: `Call⟦upper⟧ me⟦lower⟧`. */
const withClasses = (ids: ArrayLike<number>, labels: ArrayLike<number>, names: readonly string[], { decode }: Decode) =>
  Array.from(ids, (id, at) => {
    const label = labels[at]!;
    return `${decode([id])}${label === ignored ? '' : `⟦${names[label]}⟧`}`;
  }).join('');

/** The classes of an example, or its numbers. */
const told = (labels: Row[string], { task, batch: { shapes } }: Lesson): string => {
  const isOne = shapes?.['labels']?.length === 0;
  if (labels instanceof Int32Array && isOne) return task.labels?.[labels[0]!] ?? String(labels[0]);
  const values = Array.from(labels);
  return task.predicts === 'label sets'
    ? task.labels!.filter((_, i) => values[i] === 1).join(', ') || 'none'
    : values.join(', ');
};

/** A row in words, what is learnt of it between ⟦ and ⟧; a picture is only told by its class. */
export const shownExample = ({ ids, labels }: Row, lesson: Lesson, tokenizer: Decode | null): string => {
  const { task } = lesson;
  const text = ids && tokenizer ? tokenizer.decode(ids as Int32Array) : '';
  if (!labels || !tokenizer) return labels ? `⟦${told(labels, lesson)}⟧` : text;
  if (task.head === 'causalLM') return written(ids as Int32Array, labels as Int32Array, tokenizer);
  if (task.head === 'seq2seqLM') return `${text} ⟦${tokenizer.decode(labels as Int32Array)}⟧`;
  if (task.head === 'tokenClassifier')
    return withClasses(ids as Int32Array, labels as Int32Array, task.labels!, tokenizer);
  return `${text} ⟦${told(labels, lesson)}⟧`;
};
