/**
 * Which of some lengths lie together in bins of a size: the longest first, each into the fullest bin that it fits, or a new one. Numbers of
 * the lengths by bin. Johnson, 1973, "Near-optimal bin packing algorithms"; for training Ding et al., 2024, https://arxiv.org/abs/2404.10830.
 */
export const bestFit = (lengths: readonly number[], size: number): readonly (readonly number[])[] => {
  const order = lengths.map((length, i) => ({ length, i })).sort((a, b) => b.length - a.length || a.i - b.i);
  const bins: number[][] = [];
  /** Bins by the room that is left in them. */
  const byRoom: number[][][] = Array.from({ length: size + 1 }, () => []);
  for (const { length, i } of order) {
    let room = length;
    while (room < size && byRoom[room]!.length === 0) room++;
    const bin = room < size ? byRoom[room]!.shift()! : [];
    if (room === size) bins.push(bin);
    bin.push(i);
    byRoom[room - length]!.push(bin);
  }
  return bins;
};
