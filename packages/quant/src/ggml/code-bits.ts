/** The codes of a block among its bytes. */
export interface CodeBits {
  /** Reads the codes of the block that begins at a byte. */
  read(bytes: Uint8Array, at: number, into: Uint8Array): void;
  /** Writes them into bytes that are zero. */
  write(bytes: Uint8Array, at: number, codes: Uint8Array): void;
}

/** For each value of a block the byte of its bits in a plane, and how far they are shifted there. */
export interface Plane {
  readonly bits: number;
  readonly byte: Uint16Array;
  readonly shift: Uint8Array;
}

const planeOf = (size: number, bits: number, place: (i: number) => readonly [byte: number, shift: number]): Plane => {
  const places = Array.from({ length: size }, (_, i) => place(i));
  return {
    bits,
    byte: Uint16Array.from(places, ([byte]) => byte),
    shift: Uint8Array.from(places, ([, shift]) => shift),
  };
};

/** A plane in runs of `width` bytes: the lowest bits of each byte of a run hold its first `width` values, the next bits those after. */
export const strided = (size: number, first: number, bits: number, width: number): Plane => {
  const perRun = (8 / bits) * width;
  return planeOf(size, bits, (i) => {
    const [run, inRun] = [Math.floor(i / perRun), i % perRun];
    return [first + run * width + (inRun % width), Math.floor(inRun / width) * bits];
  });
};

/** A plane of single bits, one after another, the lowest of a byte first. */
export const bitAfterBit = (size: number, first: number): Plane => planeOf(size, 1, (i) => [first + (i >> 3), i & 7]);

/** Codes of one or two planes, lower bits first; `toCode` and its inverse translate between the file's numbers and codes. */
export const inPlanes = (
  planes: readonly Plane[],
  toCode: (raw: number) => number = (raw) => raw,
  toRaw: (code: number) => number = toCode,
): CodeBits => ({
  read: (bytes, at, into) => {
    into.fill(0);
    let shifted = 0;
    for (const { bits, byte, shift } of planes) {
      const mask = 2 ** bits - 1;
      for (let i = 0; i < into.length; i++) into[i]! |= ((bytes[at + byte[i]!]! >> shift[i]!) & mask) << shifted;
      shifted += bits;
    }
    for (let i = 0; i < into.length; i++) into[i] = toCode(into[i]!);
  },
  write: (bytes, at, codes) => {
    let shifted = 0;
    for (const { bits, byte, shift } of planes) {
      const mask = 2 ** bits - 1;
      for (let i = 0; i < codes.length; i++)
        bytes[at + byte[i]!]! |= ((toRaw(codes[i]!) >> shifted) & mask) << shift[i]!;
      shifted += bits;
    }
  },
});
