import { checkOptions, mustBe, type Rules } from '@peftjs/tensor';
import { ignored } from './ignored.ts';

/** How documents are packed. */
export interface PackOptions {
  /** Positions per row. */
  readonly context: number;
  /** Id put before each document and after the last. */
  readonly endOfText: number;
  /** Keep the last, shorter row: for evaluation, where every token must count. Default false. */
  readonly keepRest?: boolean;
}

/** Tokens in a row, and what each of them but the last predicts. */
export interface Packed {
  /** One more than there are labels. */
  readonly tokens: Int32Array;
  readonly labels: Int32Array;
}

const isId = (value: unknown): boolean =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 31;

const rules: Rules<PackOptions> = {
  context: mustBe.given(mustBe.count),
  endOfText: mustBe.given(mustBe.such('the id of a token', isId)),
  keepRest: mustBe.flag,
};

/** Checks options of packing. Throws `bad-option`. */
export const checkPack = (who: string, options: PackOptions): void => checkOptions(who, rules, options);

/** Documents that are joined and cut into rows. */
export interface Packer {
  /** Adds a document and the end-of-text token after it; with the label of each of its tokens, or each is to predict the next. */
  push(ids: ArrayLike<number>, labels?: ArrayLike<number>): void;
  /** The next row of `context` + 1 tokens; the last token of one is the first of the next. Null until there are enough. */
  take(): Packed | null;
  /** The rest, if anything of it is to be predicted. */
  rest(): Packed | null;
  /** Tokens that wait, the first of which has been predicted. */
  waiting(): number;
  /** Leaves out tokens at the front. */
  skip(count: number): void;
}

/** A packer that stands after an end-of-text token. */
export const makePacker = ({ context, endOfText }: PackOptions): Packer => {
  let [ids, labels] = [new Int32Array(2 * context + 2), new Int32Array(2 * context + 2)];
  let [start, end] = [0, 0];
  const room = (count: number): void => {
    if (end + count <= ids.length) return;
    const used = end - start;
    const move = (old: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> => {
      if (used + count <= old.length / 2) return old.copyWithin(0, start, end);
      const grown = new Int32Array(2 * (used + count));
      grown.set(old.subarray(start, end));
      return grown;
    };
    [ids, labels] = [move(ids), move(labels)];
    [start, end] = [0, used];
  };
  const put = (id: number): void => {
    room(1);
    ids[end++] = id;
  };
  const cut = (count: number): Packed => ({
    tokens: ids.slice(start, start + count),
    labels: labels.slice(start, start + count - 1),
  });
  put(endOfText);
  return {
    push: (document, targets) => {
      const n = document.length;
      room(n + 1);
      // The token before a document predicts its first one, unless the document says what it is to be learnt of it.
      labels[end - 1] = targets ? ignored : n > 0 ? document[0]! : endOfText;
      ids.set(document, end);
      for (let i = 0; i < n; i++) labels[end + i] = targets ? targets[i]! : i + 1 < n ? document[i + 1]! : endOfText;
      end += n;
      put(endOfText);
    },
    take: () => {
      if (end - start <= context) return null;
      const row = cut(context + 1);
      start += context;
      return row;
    },
    rest: () => (end - start > 1 ? cut(end - start) : null),
    waiting: () => end - start,
    skip: (count) => {
      start += count;
    },
  };
};
