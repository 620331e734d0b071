/** Two neighbours and the token that they become, found by the pair: a table with open addressing, since a vocabulary has 10⁵ merges and a text asks for many more. */
const pairTable = (size: number) => {
  let bits = 4;
  while (2 ** bits < 2 * size) bits++;
  const mask = 2 ** bits - 1;
  const left = new Int32Array(mask + 1).fill(-1);
  const [right, rank, token] = [left.slice(), left.slice(), left.slice()];
  /** The place of a pair, or that where it would be. */
  const place = (a: number, b: number): number => {
    let at = ((Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b)) >>> (32 - bits)) & mask;
    while (left[at] !== -1 && (left[at] !== a || right[at] !== b)) at = (at + 1) & mask;
    return at;
  };
  return { left, right, rank, token, place };
};

/** The smallest of numbers first: a binary heap in one array. */
const makeHeap = () => {
  let heap = new Float64Array(64);
  let size = 0;
  return {
    clear: (): void => void (size = 0),
    push: (key: number): void => {
      if (size === heap.length) {
        const larger = new Float64Array(2 * size);
        larger.set(heap);
        heap = larger;
      }
      let at = size++;
      while (at > 0) {
        const up = (at - 1) >> 1;
        if (heap[up]! <= key) break;
        heap[at] = heap[up]!;
        at = up;
      }
      heap[at] = key;
    },
    /** −1 where there is none. */
    pop: (): number => {
      if (size === 0) return -1;
      const [first, last] = [heap[0]!, heap[--size]!];
      let at = 0;
      for (let down = 1; down < size; down = 2 * at + 1) {
        if (down + 1 < size && heap[down + 1]! < heap[down]!) down++;
        if (last <= heap[down]!) break;
        heap[at] = heap[down]!;
        at = down;
      }
      heap[at] = last;
      return first;
    },
  };
};

type Places = readonly [Int32Array, Int32Array, Int32Array, Int32Array];

const fourOf = (size: number): Places => {
  const one = (): Int32Array => new Int32Array(size);
  return [one(), one(), one(), one()];
};

/** Places of a piece are below this: a rank times it and a place are one exact number. */
const mostPlaces = 2 ** 26;

/**
 * Byte-pair encoding of a piece of text: of all neighbours that have a merge, those of the least rank become one, the leftmost first, until none have. O(n log n) for n characters.
 * Merges are checked to be of tokens that the vocabulary has; of two of the same pair the later counts. Null for a piece with a character that is no token. Sennrich, Haddow & Birch, 2015.
 * https://arxiv.org/abs/1508.07909
 */
export const mergePairs = (
  ids: ReadonlyMap<string, number>,
  merges: readonly (string | readonly [string, string])[],
): ((piece: string) => number[] | null) => {
  const table = pairTable(merges.length);
  for (const [rank, merge] of merges.entries()) {
    const [a, b] = (typeof merge === 'string' ? merge.split(' ') : merge) as [string, string];
    const at = table.place(ids.get(a)!, ids.get(b)!);
    table.left[at] = ids.get(a)!;
    table.right[at] = ids.get(b)!;
    table.rank[at] = rank;
    table.token[at] = ids.get(a + b)!;
  }
  const heap = makeHeap();
  /** By place: the token that begins there, the places of those around it, and the pair that it makes with the next. */
  let [tokens, before, behind, pairs] = fourOf(64);
  /** Looks up the pair that begins at a place, and queues it. */
  const meet = (at: number): void => {
    const next = behind[at]!;
    const pair = next === -1 ? -1 : table.place(tokens[at]!, tokens[next]!);
    const known = pair !== -1 && table.left[pair] !== -1;
    pairs[at] = known ? pair : -1;
    if (known) heap.push(table.rank[pair]! * mostPlaces + at);
  };
  return (piece) => {
    if (piece.length >= mostPlaces) return null;
    if (piece.length > tokens.length) [tokens, before, behind, pairs] = fourOf(2 * piece.length);
    let length = 0;
    for (const character of piece) {
      const id = ids.get(character);
      if (id === undefined) return null;
      tokens[length] = id;
      before[length] = length - 1;
      behind[length] = ++length;
    }
    if (length === 0) return [];
    behind[length - 1] = -1;
    heap.clear();
    for (let at = 0; at < length; at++) meet(at);
    for (let key = heap.pop(); key !== -1; key = heap.pop()) {
      const rank = Math.floor(key / mostPlaces);
      const at = key - rank * mostPlaces;
      // Its neighbour may have become part of another token since.
      if (pairs[at] === -1 || table.rank[pairs[at]!] !== rank) continue;
      const gone = behind[at]!;
      tokens[at] = table.token[pairs[at]!]!;
      behind[at] = behind[gone]!;
      if (behind[at] !== -1) before[behind[at]!] = at;
      pairs[gone] = -1;
      meet(at);
      if (before[at] !== -1) meet(before[at]!);
    }
    const out: number[] = [];
    for (let at = 0; at !== -1; at = behind[at]!) out.push(tokens[at]!);
    return out;
  };
};
