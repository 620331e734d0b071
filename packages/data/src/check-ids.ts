import { PeftError } from '@peftjs/tensor';
import { kindOf } from './words.ts';

/** The fault of the first value of a list that is no id: no whole number, negative, or not below `vocabSize`. Null if all are. */
const idProblem = (ids: ArrayLike<unknown>, vocabSize: number = 2 ** 31): string | null => {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i];
    if (typeof id === 'number' && id >= 0 && id < vocabSize && Number.isInteger(id)) continue;
    const range = vocabSize === 2 ** 31 ? 'of at least 0' : `from 0 to ${vocabSize - 1}`;
    return `token ${i} is ${kindOf(id)}; ids are whole numbers ${range}`;
  }
  return null;
};

/** Checks a document: a list of ids. Throws `bad-data`. */
export const checkDocument = (who: string, document: unknown): void => {
  const isList = Array.isArray(document) || (ArrayBuffer.isView(document) && !(document instanceof DataView));
  if (!isList)
    throw new PeftError(
      'bad-data',
      `${who} is ${kindOf(document)} where a list of ids is expected. Documents come as a list of them, as [ids]; texts are encoded first.`,
    );
  const problem = idProblem(document as unknown as ArrayLike<unknown>);
  if (problem) throw new PeftError('bad-data', `${who}: ${problem}`);
};
