import { byteCharacters } from './byte-level.ts';

/** A trained byte-pair encoding: the tokens by id, and the merges in the order in which they apply. */
export interface Bpe {
  readonly tokens: readonly string[];
  readonly merges: readonly (readonly [string, string])[];
}

interface Word {
  readonly symbols: number[];
  readonly count: number;
}

/** Number of occurrences of each pair of neighbours, and the words that may contain it. */
interface Pairs {
  readonly counts: Map<number, number>;
  readonly words: Map<number, Set<Word>>;
}

// A pair of ids as one number: ids are below 2^20, so it is exact, and its order is that of (left, right).
const radix = 2 ** 20;

/**
 * Byte-pair encoding over bytes (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909): starting from single bytes,
 * the most frequent pair of neighbouring symbols becomes a symbol, until the vocabulary is full or no pair occurs twice.
 * Of equally frequent pairs the one with the lowest ids wins, so the result depends on the counts alone.
 *
 * Ids: the special tokens, then the 256 bytes in order of their characters, then the merged tokens.
 *
 * @param words occurrences of each word, written in {@link byteCharacters}
 * @param vocabSize number of tokens, special ones included
 * @throws RangeError when the vocabulary has no room for the bytes
 */
export function trainBpe(words: ReadonlyMap<string, number>, vocabSize: number, special: readonly string[]): Bpe {
  const tokens = [...special, ...byteCharacters.toSorted()];
  if (vocabSize < tokens.length) {
    throw new RangeError(`trainBpe: got a vocabulary of ${vocabSize}, expected at least ${tokens.length} (256 bytes).`);
  }
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const pairs: Pairs = { counts: new Map(), words: new Map() };
  for (const [text, count] of words) {
    const word = {
      symbols: Array.from(text, (character) => idOf(ids, character)),
      count,
    };
    countPairs(pairs, word, 1);
  }

  const merges: [string, string][] = [];
  while (tokens.length < vocabSize) {
    const pair = mostFrequent(pairs.counts);
    if (pair === undefined) break;
    const left = Math.floor(pair / radix);
    const right = pair % radix;
    const parts: [string, string] = [tokens[left] ?? '', tokens[right] ?? ''];
    const merged = parts.join('');
    // The text may spell a special token.
    const id = ids.get(merged) ?? tokens.push(merged) - 1;
    ids.set(merged, id);
    merges.push(parts);
    for (const word of [...(pairs.words.get(pair) ?? [])]) {
      countPairs(pairs, word, -1);
      mergeInPlace(word.symbols, left, right, id);
      countPairs(pairs, word, 1);
    }
  }
  return { tokens, merges };
}

function idOf(ids: ReadonlyMap<string, number>, character: string): number {
  const id = ids.get(character);
  if (id === undefined) {
    throw new RangeError(`trainBpe: ${JSON.stringify(character)} stands for no byte. Write words in byteCharacters.`);
  }
  return id;
}

function countPairs(pairs: Pairs, word: Word, sign: 1 | -1): void {
  for (let i = 1; i < word.symbols.length; i++) {
    const pair = (word.symbols[i - 1] as number) * radix + (word.symbols[i] as number);
    const count = (pairs.counts.get(pair) ?? 0) + sign * word.count;
    if (count === 0) {
      pairs.counts.delete(pair);
      pairs.words.delete(pair);
      continue;
    }
    pairs.counts.set(pair, count);
    if (sign < 0) continue;
    const holders = pairs.words.get(pair);
    if (holders) holders.add(word);
    else pairs.words.set(pair, new Set([word]));
  }
}

function mostFrequent(counts: ReadonlyMap<number, number>): number | undefined {
  let best: number | undefined;
  let bestCount = 1;
  for (const [pair, count] of counts) {
    if (count > bestCount || (count === bestCount && best !== undefined && pair < best)) {
      best = pair;
      bestCount = count;
    }
  }
  return best;
}

function mergeInPlace(symbols: number[], left: number, right: number, merged: number): void {
  let length = 0;
  for (let i = 0; i < symbols.length; i++) {
    const found = symbols[i] === left && symbols[i + 1] === right;
    symbols[length++] = found ? merged : (symbols[i] as number);
    if (found) i++;
  }
  symbols.length = length;
}
