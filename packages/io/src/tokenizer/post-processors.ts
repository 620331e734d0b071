import { isObject } from '../json.ts';
import { type Part, unknownType } from './part.ts';

/** Ids that stand before and behind those of a text. */
export interface Around {
  readonly before: readonly number[];
  readonly behind: readonly number[];
  /** The order of two texts and of the ids around them; null where nothing is said of two. */
  readonly pair: readonly PairItem[] | null;
}

/** One of two texts, or an id beside them, and the kind of its tokens (`token_type_ids`). */
export type PairItem = { readonly type: number } & ({ readonly text: 0 | 1 } | { readonly id: number });

const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** `["[SEP]", 102]` */
const idIn = (part: Part, field: string): number => {
  const pair = part.raw(field);
  const id = Array.isArray(pair) ? pair[1] : undefined;
  return isId(id) ? id : part.fail(`${field} is not a token and its id`);
};

const bert = (part: Part): Around => {
  const [cls, sep] = [idIn(part, 'cls'), idIn(part, 'sep')];
  const second = [
    { text: 1, type: 1 },
    { id: sep, type: 1 },
  ] as const;
  return {
    before: [cls],
    behind: [sep],
    pair: [{ id: cls, type: 0 }, { text: 0, type: 0 }, { id: sep, type: 0 }, ...second],
  };
};

const roberta = (part: Part): Around => {
  const [cls, sep] = [idIn(part, 'cls'), idIn(part, 'sep')];
  const items = [{ id: cls }, { text: 0 }, { id: sep }, { id: sep }, { text: 1 }, { id: sep }] as const;
  return { before: [cls], behind: [sep], pair: items.map((item) => ({ ...item, type: 0 })) };
};

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
  const pair = part.raw('pair');
  const items = (Array.isArray(pair) ? pair : []).flatMap((item: unknown): readonly PairItem[] => {
    const [special, sequence] = isObject(item) ? [item['SpecialToken'], item['Sequence']] : [];
    const own = isObject(special) ? special : isObject(sequence) ? sequence : {};
    const type = isId(own['type_id']) ? own['type_id'] : 0;
    if (isObject(special)) return idsOf(special['id']).map((id) => ({ id, type }));
    return own['id'] === 'A' || own['id'] === 'B'
      ? [{ text: own['id'] === 'A' ? 0 : 1, type }]
      : part.fail('pair has something else than two texts and special tokens');
  });
  const isWhole = [0, 1].every((text) => items.filter((item) => 'text' in item && item.text === text).length === 1);
  return { before: ids(single.slice(0, own)), behind: ids(single.slice(own + 1)), pair: isWhole ? items : null };
};

/** Two texts one after the other. */
export const neither: readonly PairItem[] = [
  { text: 0, type: 0 },
  { text: 1, type: 1 },
];

const makers: Readonly<Record<string, (part: Part) => Around>> = {
  BertProcessing: bert,
  // It changes offsets only.
  ByteLevel: () => ({ before: [], behind: [], pair: neither }),
  RobertaProcessing: roberta,
  Sequence: (part) =>
    part
      .parts('processors')
      .map(postProcessor)
      .reduce(
        (inner, outer) => ({
          before: [...outer.before, ...inner.before],
          behind: [...inner.behind, ...outer.behind],
          // Of two that both put something between texts nothing is known.
          pair: inner.pair === neither ? outer.pair : outer.pair === neither ? inner.pair : null,
        }),
        { before: [], behind: [], pair: neither },
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
