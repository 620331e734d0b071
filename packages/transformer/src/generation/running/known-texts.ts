/** A kept text that begins as another does. */
export interface Found {
  /** Its row of the cache. */
  readonly place: number;
  /** So many tokens are the same. */
  readonly count: number;
}

/** Which texts the rows of a cache hold. */
export interface KnownTexts<V> {
  /** The kept text of a voice that has the most first tokens in common with others; null where none has one. */
  find(voice: V, tokens: readonly number[]): Found | null;
  /** Takes note of a text, and says which row it comes to: that of a beginning of it, or that which was longest of no use. Null where it is held already. */
  keep(voice: V, tokens: readonly number[]): number | null;
  /** A voice is no more: its texts are of no use. */
  forget(voice: V): void;
  /** No text is held any more. */
  clear(): void;
}

interface Kept<V> {
  readonly voice: V;
  readonly tokens: readonly number[];
  used: number;
}

const inCommon = (a: readonly number[], b: readonly number[]): number => {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return length;
};

/** Takes note of the texts that are in so many rows of a cache. */
export const knownTexts = <V>(places: number): KnownTexts<V> => {
  const kept: (Kept<V> | null)[] = Array.from({ length: places }, () => null);
  let clock = 0;
  const best = (voice: V, tokens: readonly number[]): Found | null => {
    let found: Found | null = null;
    for (const [place, one] of kept.entries()) {
      if (one?.voice !== voice) continue;
      const count = inCommon(one.tokens, tokens);
      if (count > (found?.count ?? 0)) found = { place, count };
    }
    return found;
  };
  return {
    find: (voice, tokens) => {
      const found = best(voice, tokens);
      if (found) kept[found.place]!.used = ++clock;
      return found;
    },
    keep: (voice, tokens) => {
      const found = best(voice, tokens);
      if (found && found.count === tokens.length) {
        kept[found.place]!.used = ++clock;
        return null;
      }
      const extended = found !== null && kept[found.place]!.tokens.length === found.count ? found.place : null;
      const oldest = kept.reduce((least, one, i) => ((one?.used ?? 0) < (kept[least]?.used ?? 0) ? i : least), 0);
      const place = extended ?? oldest;
      kept[place] = { voice, tokens, used: ++clock };
      return place;
    },
    clear: () => {
      kept.fill(null);
    },
    forget: (voice) => {
      for (const [place, one] of kept.entries()) if (one?.voice === voice) kept[place] = null;
    },
  };
};
