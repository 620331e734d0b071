/** The code number `i` of codes of so many bits that lie one after another in 32-bit words, from the lowest bit on; `word(w)` is the w-th. */
export const codeIn = (word: (w: number) => number, bits: number, i: number): number => {
  const at = i * bits;
  const [w, shift] = [at >> 5, at & 31];
  const low = word(w) >>> shift;
  const taken = 32 - shift;
  return (taken < bits ? low | (word(w + 1) << taken) : low) & (2 ** bits - 1);
};
