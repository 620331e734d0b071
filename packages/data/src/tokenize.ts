import type { Tokenizer } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { map } from './map.ts';
import type { Stage } from './stream.ts';
import { kindOf } from './words.ts';

/** How texts become tokens. */
export interface TokenizeOptions {
  /** The field with the text, where items are objects. Default `text`. */
  readonly field?: string;
  /** Whether the tokens that the model expects around a text are added. Default true, as of `encode`. */
  readonly special?: boolean;
}

const rules: Rules<TokenizeOptions> = { field: mustBe.text, special: mustBe.flag };

/** A row of tokens. */
export type TokenRow = { readonly ids: Int32Array };

/** Texts, or objects with one, as rows of `ids`. Throws `bad-data`, with the place, for what has no text. */
export const tokenize = (
  { encode }: Pick<Tokenizer, 'encode'>,
  options: TokenizeOptions = {},
): Stage<unknown, TokenRow> => {
  checkOptions('tokenize', rules, options);
  const { field = 'text', special = true } = options;
  return map((value: unknown) => {
    const found = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[field] : value;
    if (typeof found === 'string') return { ids: encode(found, { special }) };
    const got = found === value ? `is ${kindOf(value)}` : `has ${kindOf(found)} as ${field}`;
    throw new PeftError('bad-data', `${got} where a text is to be tokenised; name its field with \`field\``);
  });
};
