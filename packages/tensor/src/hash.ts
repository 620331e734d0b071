/** Four words from a text: FNV-1a over UTF-16 units, then Murmur3's finaliser. */
export const hashWords = (text: string): [number, number, number, number] => {
  const word = (salt: number): number => {
    let h = 0x811c9dc5 ^ salt;
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return h ^ (h >>> 16);
  };
  return [word(1), word(2), word(3), word(4)];
};

/** 16 hexadecimal digits from a text: equal texts have equal ones, and different ones hardly ever. */
export const hashText = (text: string): string =>
  hashWords(text)
    .slice(0, 2)
    .map((word) => (word >>> 0).toString(16).padStart(8, '0'))
    .join('');
