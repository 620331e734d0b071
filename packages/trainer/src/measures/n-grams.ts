/** How often each sequence of n words occurs. */
export const nGrams = (words: readonly string[], n: number): Map<string, number> => {
  const counts = new Map<string, number>();
  for (let i = 0; i + n <= words.length; i++) {
    const key = words.slice(i, i + n).join(' ');
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
};

/** Sequences of n words that two texts share, each as often as the one that has fewer of it. */
export const overlap = (a: readonly string[], b: readonly string[], n: number): number => {
  const other = nGrams(b, n);
  return [...nGrams(a, n)].reduce((total, [key, count]) => total + Math.min(count, other.get(key) ?? 0), 0);
};
