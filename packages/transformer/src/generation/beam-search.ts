import { mustBe, PeftError, type Rules } from '@peftjs/tensor';
import type { Choice, Passes } from './choice.ts';
import { checkLogits } from './sample.ts';

/** How several continuations of a text are followed at once. */
export interface BeamOptions {
  /** Continuations that are followed; the one with the best score is given. Default 1: none but the next token's choice. */
  readonly beams?: number;
  /** The score of a continuation is Σ log p / length^lengthPenalty: above 0 favours long ones. Default 1. Wu et al., 2016. https://arxiv.org/abs/1609.08144 */
  readonly lengthPenalty?: number;
  /**
   * When a search ends that has found as many texts as there are beams: true at once; false where none that is open has a better score at its
   * length of now; `never` where none can reach one, however long it becomes. Default false.
   */
  readonly earlyStopping?: boolean | 'never';
}

/** The rules of its options. */
export const beamRules: Rules<BeamOptions> = {
  beams: mustBe.count,
  lengthPenalty: mustBe.number,
  earlyStopping: mustBe.such("true, false or 'never'", (v) => typeof v === 'boolean' || v === 'never'),
};

/** A continuation that is followed. */
interface Open {
  readonly tokens: readonly number[];
  /** Σ log p */
  readonly score: number;
  /** The beam that it goes on from. */
  readonly from: number;
}

/** One more token after an open continuation. */
interface Candidate extends Open {
  readonly isEnded: boolean;
  /** Whether a stop token ended it. */
  readonly isStopped: boolean;
}

interface Finished {
  readonly tokens: readonly number[];
  readonly score: number;
}

/** The search for one text. */
interface Search {
  readonly open: readonly Open[];
  /** The best so far, best first; never more than there are beams. */
  readonly finished: readonly Finished[];
  readonly isDone: boolean;
}

/** Added to scores so that nothing with it is chosen while anything else is there. */
const never = -1e9;

/** The places of the `count` largest values, largest first; of equal ones the first. */
const largest = (values: Float64Array, count: number): number[] => {
  const found: number[] = [];
  for (const [i, value] of values.entries()) {
    if (found.length === count && !(value > values[found.at(-1)!]!)) continue;
    let at = found.length;
    while (at > 0 && value > values[found[at - 1]!]!) at--;
    found.splice(at, 0, i);
    if (found.length > count) found.pop();
  }
  return found;
};

/** log softmax of logits. */
const logProbs = (logits: Float32Array): Float32Array => {
  const highest = logits.reduce((a, b) => Math.max(a, b));
  const total = Math.log(logits.reduce((sum, l) => sum + Math.exp(l - highest), 0)) + highest;
  return logits.map((l) => l - total);
};

type Rule = Required<BeamOptions> & Pick<Choice, 'limit'>;

/** The search after candidates for a token more, best first. */
const advanced = (
  { finished }: Search,
  candidates: readonly Candidate[],
  { beams, lengthPenalty, earlyStopping, limit }: Rule,
): Search => {
  const length = candidates[0]!.tokens.length;
  const penalised = (score: number, at: number): number => score / at ** lengthPenalty;
  const rank = (c: Candidate): number => c.score + (c.isEnded ? never : 0);
  const open = candidates.toSorted((a, b) => rank(b) - rank(a)).slice(0, beams);
  // The others are there in case all of the best are ended.
  const ended = candidates.slice(0, beams).filter(({ isEnded, score }) => isEnded && score > never);
  const isFull = earlyStopping === true && finished.length === beams;
  const all = isFull
    ? finished
    : [
        ...finished,
        ...ended.map(({ tokens, score, isStopped }) => ({
          tokens: isStopped ? tokens.slice(0, -1) : tokens,
          score: penalised(score, length),
        })),
      ]
        .toSorted((a, b) => b.score - a.score)
        .slice(0, beams);
  const reached = earlyStopping === 'never' && lengthPenalty > 0 ? limit : length;
  const canImprove = all.length < beams || penalised(rank(open[0] as Candidate), reached) > all.at(-1)!.score;
  const isDone =
    !canImprove || (earlyStopping === true && all.length === beams) || candidates.every(({ isEnded }) => isEnded);
  return { open, finished: all, isDone };
};

/**
 * Continues each text as beam search does: of all continuations by one token more the `beams` likeliest are followed, until no better one can
 * come. Gives the new tokens of each. Processors change log p. Rows are independent. As of transformers 5, `generation/utils.py`, `_beam_search`; its
 * candidates are (1 + stop tokens) · beams, so that enough remain when some end.
 */
export const beamSearch = async (
  passes: Passes,
  choice: Choice,
  options: Required<BeamOptions>,
): Promise<number[][]> => {
  const { vocabSize, texts, limit, stop, processors, isEnded } = choice;
  const { beams } = options;
  const rule: Rule = { ...options, limit };
  const keep = Math.max(2, 1 + stop.size) * beams;

  /** `given`: the logits of the search's beams, or of the prompt alone. */
  const candidatesOf = (row: number, { open }: Search, given: readonly Float32Array[]): Candidate[] => {
    const scores = new Float64Array(beams * vocabSize);
    for (const [beam, { tokens, score }] of open.entries()) {
      const logits = given[beam] ?? given[0]!;
      checkLogits(logits);
      const own = logProbs(logits);
      for (const process of processors) process(own, { row, prompt: texts[row]!, tokens });
      for (const [i, p] of own.entries()) scores[beam * vocabSize + i] = score + p;
    }
    const found = largest(scores, keep).map((at): Candidate => {
      const from = Math.floor(at / vocabSize);
      const token = at % vocabSize;
      const tokens = [...open[from]!.tokens, token];
      const isStopped = stop.has(token);
      return {
        tokens,
        score: scores[at]!,
        from,
        isStopped,
        isEnded: isStopped || tokens.length >= limit || isEnded(tokens),
      };
    });
    if (found[0]!.score === Number.NEGATIVE_INFINITY)
      throw new PeftError(
        'bad-option',
        'generate: no token is left to choose; allow more (badWords, processors, noRepeatNgram)',
      );
    return found;
  };

  // All begin alike, so but one of them counts.
  const start = Array.from({ length: beams }, (_, i): Open => ({ tokens: [], score: i === 0 ? 0 : never, from: 0 }));
  let searches: readonly Search[] = texts.map(() => ({ open: start, finished: [], isDone: false }));
  let { logits } = await passes.first(['logits']);
  for (let step = 0; ; step++) {
    const each = step === 0 ? 1 : beams;
    const logitsAt = (row: number): readonly Float32Array[] =>
      Array.from({ length: each }, (_, beam) => {
        const at = (row * each + beam) * vocabSize;
        return (logits as Float32Array).subarray(at, at + vocabSize);
      });
    searches = searches.map((search, row) =>
      search.isDone ? search : advanced(search, candidatesOf(row, search, logitsAt(row)), rule),
    );
    if (searches.every(({ isDone }) => isDone)) break;
    const ids = Int32Array.from(searches.flatMap(({ open }) => open.map(({ tokens }) => tokens.at(-1)!)));
    const source = Int32Array.from(searches.flatMap(({ open }, row) => open.map(({ from }) => row * beams + from)));
    ({ logits } = await passes.next(step, ids, ['logits'], source));
  }
  return searches.map(({ finished }) => [...(finished[0]?.tokens ?? [])]);
};
