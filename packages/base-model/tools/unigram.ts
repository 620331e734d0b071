/** Nats per token of rows where each token is guessed by how often it stood in others, counted with one more of each: what is known without any context. */
export const unigramLoss = (
  learned: readonly Uint16Array[],
  heldOut: readonly Uint16Array[],
  vocabSize: number,
): number => {
  const counts = new Float64Array(vocabSize).fill(1);
  for (const row of learned) for (const id of row) counts[id]!++;
  const total = counts.reduce((a, b) => a + b, 0);
  const all = heldOut.reduce((n, row) => n + row.length, 0);
  const nats = heldOut.reduce((sum, row) => row.reduce((n, id) => n - Math.log(counts[id]! / total), sum), 0);
  return nats / all;
};
