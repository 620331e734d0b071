import { distance } from 'fastest-levenshtein';

/** How far a word may be from the one that was meant: a third of it, one letter where they begin with different ones. */
const mayDiffer = (word: string, meant: string): number =>
  word[0] === meant[0] ? Math.max(1, Math.ceil(meant.length / 3)) : Math.floor(meant.length / 4);

/** The word that was meant, perhaps: the nearest of a list that is near enough; null where none is. */
export const nearest = (word: string, words: readonly string[]): string | null => {
  const own = word.toLowerCase();
  const far = (one: string): number => distance(own, one.toLowerCase());
  const letters = (one: string): string => [...one.toLowerCase()].sort().join('');
  // Letters that changed places come first, then words that begin alike.
  const less = (one: string): number =>
    (letters(one) === letters(own) ? 1 : 0) + (own[0] === one[0]?.toLowerCase() ? 0.5 : 0);
  const found = words
    .filter((one) => far(one) <= mayDiffer(own, one.toLowerCase()))
    .map((one) => ({ one, rank: far(one) - less(one) }))
    .sort((a, b) => a.rank - b.rank);
  return found[0]?.one ?? null;
};

/** `; did you mean rate?`, or the list of what there is. */
export const hint = (word: string, words: readonly string[]): string => {
  const meant = nearest(word, words);
  return meant === null ? `; there are ${words.join(', ')}` : `; did you mean ${meant}?`;
};
