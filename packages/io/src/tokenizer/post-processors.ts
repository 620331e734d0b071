import { isObject } from '../json.ts';
import { type Part, unknownType } from './part.ts';

/** Ids that stand before and behind those of a text. */
export interface Around {
  readonly before: readonly number[];
  readonly behind: readonly number[];
}

const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** `["[SEP]", 102]` */
const idIn = (part: Part, field: string): number => {
  const pair = part.raw(field);
  const id = Array.isArray(pair) ? pair[1] : undefined;
  return isId(id) ? id : part.fail(`${field} is not a token and its id`);
};

const bert = (part: Part): Around => ({ before: [idIn(part, 'cls')], behind: [idIn(part, 'sep')] });

const template = (part: Part): Around => {
  const [single, specials] = [part.raw('single'), part.raw('special_tokens')];
  if (!Array.isArray(single)) return part.fail('single is not a list');
  const idsOf = (name: unknown): readonly number[] => {
    const special = isObject(specials) && typeof name === 'string' ? specials[name] : undefined;
    const ids = isObject(special) ? special['ids'] : undefined;
    return Array.isArray(ids) && ids.every(isId) ? ids : part.fail(`special_tokens has no ids of ${String(name)}`);
  };
  const own = single.findIndex(
    (item) => isObject(item) && isObject(item['Sequence']) && item['Sequence']['id'] === 'A',
  );
  if (own < 0) part.fail('single leaves the text out');
  const ids = (items: readonly unknown[]): number[] =>
    items.flatMap((item) => {
      const special = isObject(item) ? item['SpecialToken'] : undefined;
      return isObject(special) ? idsOf(special['id']) : part.fail('single has something else than special tokens');
    });
  return { before: ids(single.slice(0, own)), behind: ids(single.slice(own + 1)) };
};

const makers: Readonly<Record<string, (part: Part) => Around>> = {
  BertProcessing: bert,
  // It changes offsets only.
  ByteLevel: () => ({ before: [], behind: [] }),
  RobertaProcessing: bert,
  Sequence: (part) =>
    part
      .parts('processors')
      .map(postProcessor)
      .reduce(
        (inner, outer) => ({
          before: [...outer.before, ...inner.before],
          behind: [...inner.behind, ...outer.behind],
        }),
        { before: [], behind: [] },
      ),
  TemplateProcessing: template,
};

/**
 * The tokens that a post-processor of `tokenizer.json` puts around a text. Throws `PeftError` `bad-tokenizer`.
 *
 * Source: huggingface/tokenizers, `processors/*.rs`, https://github.com/huggingface/tokenizers.
 */
export function postProcessor(part: Part): Around {
  const make = Object.hasOwn(makers, part.type) ? makers[part.type] : undefined;
  return make ? make(part) : unknownType(part, makers);
}
