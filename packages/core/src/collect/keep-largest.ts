/** The places of the largest scores, by the number of the matrix that they are in; ascending. */
export interface Largest {
  /** Takes the scores of one more matrix. */
  add(matrix: number, scores: ArrayLike<number>): void;
  places(): ReadonlyMap<number, Int32Array>;
}

interface Candidates {
  readonly score: Float32Array;
  readonly matrix: Int32Array;
  readonly place: Int32Array;
}

const filled = (length: number): Candidates => ({
  score: new Float32Array(length),
  matrix: new Int32Array(length),
  place: new Int32Array(length),
});

/** Those of `from` that pass, in their order. */
const filter = (from: Candidates, passes: (score: number) => boolean, count: number): Candidates => {
  const kept = filled(count);
  let n = 0;
  for (const [i, score] of from.score.entries()) {
    if (!passes(score)) continue;
    kept.score[n] = score;
    kept.matrix[n] = from.matrix[i]!;
    kept.place[n++] = from.place[i]!;
  }
  return kept;
};

const largestOf = (all: Candidates, count: number): Candidates => {
  if (all.score.length <= count) return all;
  const threshold = Float32Array.from(all.score).sort()[all.score.length - count]!;
  let ties = count - all.score.reduce((n, score) => n + Number(score > threshold), 0);
  return filter(all, (score) => score > threshold || (score === threshold && ties-- > 0), count);
};

/** The `count` largest scores of several matrices that come one after the other; of equal ones the earlier. Holds one matrix at a time. */
export const keepLargest = (count: number): Largest => {
  let kept = filled(0);
  return {
    add: (matrix, scores) => {
      const floor = kept.score.length < count ? Number.NEGATIVE_INFINITY : kept.score.reduce((a, b) => Math.min(a, b));
      let more = 0;
      for (let i = 0; i < scores.length; i++) if (scores[i]! > floor) more++;
      const all = filled(kept.score.length + more);
      for (const part of ['score', 'matrix', 'place'] as const) all[part].set(kept[part]);
      for (let i = 0, n = kept.score.length; i < scores.length; i++)
        if (scores[i]! > floor) {
          all.score[n] = scores[i]!;
          all.matrix[n] = matrix;
          all.place[n++] = i;
        }
      kept = largestOf(all, count);
    },
    places: () => {
      const lists = new Map<number, number[]>();
      for (const [i, matrix] of kept.matrix.entries()) {
        const list = lists.get(matrix) ?? [];
        list.push(kept.place[i]!);
        lists.set(matrix, list);
      }
      return new Map([...lists].map(([matrix, list]) => [matrix, Int32Array.from(list)]));
    },
  };
};
