import { harmonic } from './f1.ts';
import { checkPairs } from './measure.ts';

/** A named thing in a row of tags: its type and its tokens from `start` to before `end`. */
export interface Entity {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

const split = (tag: string): readonly [string, string] => {
  const rest = tag.slice(1);
  const at = rest.indexOf('-');
  return [tag[0] ?? 'O', (at < 0 ? rest : rest.slice(at + 1)) || '_'];
};

/** Tags after which the next one of the same type begins something new, by the tag before: `B` after `I`, anything after `E` or `S`. */
const breaks: Readonly<Record<string, string>> = { B: 'BS', I: 'BS', E: 'BIES', S: 'BIES' };

/**
 * The entities that tags mean, as CoNLL's `conlleval` reads them: `B-PER`, `I-PER`, `E-PER`, `S-PER`, `O`. An `I` or `E` that follows nothing of its type
 * begins one too. Tags that begin with another letter are entities of the type that follows the letter.
 */
export const entitiesOf = (tags: readonly string[]): Entity[] => {
  const found: Entity[] = [];
  let open: { readonly type: string; readonly start: number } | null = null;
  let before = 'O';
  for (const [i, tag] of [...tags, 'O'].entries()) {
    const [prefix, type] = split(tag);
    const goesOn = open !== null && prefix !== 'O' && open.type === type && !(breaks[before] ?? '').includes(prefix);
    if (!goesOn) {
      if (open) found.push({ ...open, end: i });
      open = prefix === 'O' ? null : { type, start: i };
    }
    before = prefix;
  }
  return found;
};

/** Precision, recall and F1 over all entities, and the share of tags that are right. */
export interface EntityScores {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  readonly accuracy: number;
}

/**
 * Entities found among rows of tags: one is right where its type and both of its ends are. As seqeval's `precision_score`, `recall_score` and `f1_score`,
 * which are micro means. Throws `bad-data`.
 */
export const entityScores = (
  predicted: readonly (readonly string[])[],
  wanted: readonly (readonly string[])[],
): EntityScores => {
  checkPairs('entityScores', predicted, wanted);
  let [right, made, asked, equal, tags] = [0, 0, 0, 0, 0];
  for (const [i, row] of wanted.entries()) {
    const own = predicted[i]!;
    checkPairs(`entityScores: row ${i}`, [...own, ''], [...row, '']);
    const key = ({ type, start, end }: Entity): string => `${start} ${end} ${type}`;
    const known = new Set(entitiesOf(row).map(key));
    const given = entitiesOf(own);
    right += given.filter((e) => known.has(key(e))).length;
    made += given.length;
    asked += known.size;
    equal += row.filter((tag, t) => tag === own[t]).length;
    tags += row.length;
  }
  return {
    precision: made === 0 ? 0 : right / made,
    recall: asked === 0 ? 0 : right / asked,
    f1: harmonic({ right, predicted: made, wanted: asked }),
    accuracy: tags === 0 ? 0 : equal / tags,
  };
};
