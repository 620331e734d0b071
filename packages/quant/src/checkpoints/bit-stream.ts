/** The code number `i` of codes of so many bits that lie one after another in 32-bit words, from the lowest bit on; `word(w)` is the w-th. */
export const codeIn = (word: (w: number) => number, bits: number, i: number): number => {
  const at = i * bits;
  const [w, shift] = [at >> 5, at & 31];
  const low = word(w) >>> shift;
  const taken = 32 - shift;
  return (taken < bits ? low | (word(w + 1) << taken) : low) & (2 ** bits - 1);
};

/** Rows of codes as `codeIn` reads them; those of a row fill whole words. */
export const codeWords = (
  rows: number,
  columns: number,
  bits: number,
  codeAt: (row: number, column: number) => number,
): Int32Array => {
  const width = (columns * bits) / 32;
  const words = new Int32Array(rows * width);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < columns; i++) {
      const code = codeAt(row, i);
      const at = i * bits;
      const [w, shift] = [row * width + (at >> 5), at & 31];
      words[w]! |= code << shift;
      if (shift + bits > 32) words[w + 1]! |= code >>> (32 - shift);
    }
  return words;
};
