import type { Tokenizer } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { contentHash } from './content-hash.ts';
import { ignored } from './ignored.ts';
import type { Row, Stream } from './stream.ts';
import { warningsOf } from './warnings.ts';

/** The measures of data. */
export interface DescribeRowsOptions {
  /** Tells which tokens are unknown, and which end a text. Default: these are not counted. */
  readonly tokenizer?: Pick<Tokenizer, 'specials' | 'idOf' | 'eosId'>;
  /** Tokens that a row may have. Default: any number. */
  readonly context?: number;
  /** Rows that are read. Default: all. */
  readonly most?: number;
  /** Whether copies are counted, for which about 100 bytes of memory a row are needed. Default true. */
  readonly copies?: boolean;
}

/** Lengths of rows in tokens: half of them are at most `median`, and so on. */
export interface Lengths {
  readonly least: number;
  readonly mean: number;
  readonly median: number;
  /** Nine of ten rows are at most as long. */
  readonly p90: number;
  readonly p99: number;
  readonly most: number;
}

/** Facts about rows. */
export interface Description {
  readonly rows: number;
  readonly tokens: number;
  readonly lengths: Lengths;
  /** Tokens that are predicted and learnt. */
  readonly learnt: number;
  /** Rows of which nothing is learnt. */
  readonly unlearnt: number;
  /** Rows that have more tokens than `context`. */
  readonly tooLong: number;
  /** Rows of which nothing is learnt once they are cut to `context`: what comes before is longer alone. */
  readonly promptTooLong: number;
  /** Rows in which a token that ends something, a special one, is learnt; null without a tokenizer. */
  readonly ends: number | null;
  /** Tokens that the vocabulary has no entry for; null where there is none of that kind. */
  readonly unknown: number | null;
  /** Rows that are copies of earlier ones; null where they were not counted. */
  readonly copies: number | null;
  /** Sentences about what may go wrong. */
  readonly warnings: readonly string[];
}

const rules: Rules<DescribeRowsOptions> = {
  tokenizer: mustBe.object,
  context: mustBe.count,
  most: mustBe.count,
  copies: mustBe.flag,
};

/** The names that vocabularies have for what they have no entry for. */
const unknownNames = ['<unk>', '[UNK]', '<|unk|>', '<UNK>', 'unk'];

const quantile = (
  counts: readonly (readonly [length: number, rows: number])[],
  rows: number,
  share: number,
): number => {
  let before = 0;
  for (const [length, count] of counts) {
    before += count;
    if (before >= share * rows) return length;
  }
  return counts.at(-1)![0];
};

const lengthsOf = (byLength: ReadonlyMap<number, number>, rows: number, tokens: number): Lengths => {
  const counts = [...byLength].sort(([a], [b]) => a - b);
  const at = (share: number): number => quantile(counts, rows, share);
  return {
    least: counts[0]![0],
    mean: tokens / rows,
    median: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
    most: counts.at(-1)![0],
  };
};

/**
 * Reads rows of `ids` and `labels` (of rows without labels each token but the first is learnt), as they are before they are packed, and tells what
 * they are like, with warnings of what may go wrong: an end that is never learnt, prompts that are longer than the context, copies, unknown
 * tokens. Throws `bad-data` where there are none; errors of the stream pass as they are.
 */
export const describeRows = async (stream: Stream<Row>, options: DescribeRowsOptions = {}): Promise<Description> => {
  checkOptions('describeRows', rules, options);
  const { tokenizer, context = Number.POSITIVE_INFINITY, most = Number.POSITIVE_INFINITY, copies = true } = options;
  const unknownName = tokenizer && unknownNames.find((name) => tokenizer.specials.includes(name));
  const unknownId = unknownName === undefined ? undefined : tokenizer!.idOf(unknownName);
  const specials = new Set(tokenizer?.specials.map((name) => tokenizer.idOf(name)));
  if (tokenizer?.eosId !== undefined) specials.add(tokenizer.eosId);
  const byLength = new Map<number, number>();
  const seen = new Set<string>();
  const count = {
    rows: 0,
    tokens: 0,
    learnt: 0,
    unlearnt: 0,
    tooLong: 0,
    promptTooLong: 0,
    ends: 0,
    unknown: 0,
    copies: 0,
  };

  const take = async ({ ids, labels }: Row): Promise<void> => {
    if (!ids)
      throw new PeftError(
        'bad-data',
        `describeRows: row ${count.rows} has no ids; stages such as \`textRows\` make them`,
      );
    const targets = labels ?? ids.subarray(1);
    count.rows++;
    count.tokens += ids.length;
    byLength.set(ids.length, (byLength.get(ids.length) ?? 0) + 1);
    let [learnt, first, isEnding] = [0, -1, false];
    for (let t = 0; t < targets.length; t++) {
      const label = targets[t]!;
      if (label === ignored) continue;
      if (learnt++ === 0) first = t;
      if (specials.has(label)) isEnding = true;
    }
    if (unknownId !== undefined) for (const id of ids) if (id === unknownId) count.unknown++;
    count.learnt += learnt;
    if (learnt === 0) count.unlearnt++;
    if (isEnding) count.ends++;
    if (ids.length > context) count.tooLong++;
    if (first >= context) count.promptTooLong++;
    if (!copies) return;
    const key = (await contentHash([[...ids], labels ? [...labels] : null])).slice(0, 24);
    if (seen.has(key)) count.copies++;
    seen.add(key);
  };
  const from = stream.open();
  while (count.rows < most) {
    const next = await from.next();
    if (next.done) break;
    await take(next.value);
  }
  await from.return?.();
  if (count.rows === 0) throw new PeftError('bad-data', 'describeRows: there are no rows');
  const facts = {
    ...count,
    lengths: lengthsOf(byLength, count.rows, count.tokens),
    ends: tokenizer ? count.ends : null,
    unknown: unknownId === undefined ? null : count.unknown,
    copies: copies ? count.copies : null,
  };
  return { ...facts, warnings: warningsOf(facts, context) };
};
