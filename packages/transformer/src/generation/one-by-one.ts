import type { Random } from '@peftjs/tensor';
import type { Choice, GeneratedToken, Passes, Results } from './choice.ts';
import { checkFinite, checkLogits, drawToken, type SampleOptions } from './sample.ts';

/** The rows of a stream. */
interface Rows {
  readonly next: Int32Array;
  readonly done: boolean[];
  /** The new tokens of each. */
  readonly tokens: readonly number[][];
}

/** Chooses each open row's next token; closes rows that chose a stop token or completed a stop text. */
function* choose(
  rows: Rows,
  { likeliest, logits, total }: Results,
  { vocabSize, texts, stop, processors, isEnded }: Choice,
  sampling: SampleOptions,
  random: readonly Random[],
): Generator<GeneratedToken> {
  if (total) checkFinite(total[0]!);
  const chosen = (row: number): number => {
    if (!logits) return likeliest![row]!;
    const own = (logits as Float32Array).slice(row * vocabSize, (row + 1) * vocabSize);
    checkLogits(own);
    for (const process of processors) process(own, { row, prompt: texts[row]!, tokens: rows.tokens[row]! });
    return drawToken(own, sampling, random[row]!);
  };
  for (const row of rows.done.keys()) {
    if (rows.done[row]) continue;
    const token = chosen(row);
    rows.next[row] = token;
    rows.done[row] = stop.has(token);
    if (rows.done[row]) continue;
    rows.tokens[row]!.push(token);
    rows.done[row] = isEnded(rows.tokens[row]!);
    yield { row, token };
  }
}

/** Continues each text by one token after the other, the likeliest or one drawn at random. */
export async function* oneByOne(
  passes: Passes,
  choice: Choice,
  sampling: SampleOptions,
  random: readonly Random[],
): AsyncGenerator<GeneratedToken, void> {
  const { texts, limit, processors } = choice;
  const read = sampling.temperature || processors.length > 0 ? ['logits'] : ['likeliest', 'total'];
  const rows: Rows = {
    next: new Int32Array(texts.length),
    done: texts.map(() => false),
    tokens: texts.map(() => []),
  };
  let result = await passes.first(read);
  for (let step = 0; ; step++) {
    yield* choose(rows, result, choice, sampling, random);
    if (step + 1 >= limit || rows.done.every((done) => done)) return;
    result = await passes.next(step, rows.next, read);
  }
}
