import type { Tokenizer } from '../tokenizer.ts';

/** The text of tokens as they come. */
export interface DecodeStream {
  /** Text that the token completes; nothing while a character lacks some of its bytes. */
  push(id: number): string;
  /** Text that is left: of a character that was never completed, the mark of what is none. */
  end(): string;
}

/**
 * A decoder of tokens that come one by one. All that it gives, joined, is the text of all ids. Half a character is never given out. Each
 * token is decoded with a few before it, since what a token stands for may depend on them, so that a long text costs no more per token than a
 * short one.
 *
 * Source of the two marks: vLLM, `detokenizer_utils.py`, https://github.com/vllm-project/vllm.
 */
export const decodeStream = (
  { decode }: Pick<Tokenizer, 'decode'>,
  options: { readonly skipSpecial?: boolean } = {},
): DecodeStream => {
  /** Tokens from a place on where text was complete; of them `read` are given out. */
  let ids: number[] = [];
  let read = 0;
  const rest = (): string => decode(ids, options).slice(decode(ids.slice(0, read), options).length);
  return {
    push: (id) => {
      ids.push(id);
      const text = rest();
      if (text === '' || text.endsWith('\ufffd')) return '';
      ids = ids.slice(read);
      read = ids.length;
      return text;
    },
    end: () => {
      const text = rest();
      ids = [];
      read = 0;
      return text;
    },
  };
};
