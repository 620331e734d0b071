import { type PackedAttrs, packedFormats, packedRow } from '@peftjs/tensor';

/** The planes of a matrix's codes, and a function that writes into them. */
export interface CodeWriter {
  readonly planes: { readonly codes: Uint8Array; readonly high?: Uint8Array };
  /** Writes the code at a place, once: places count through all rows. */
  put(place: number, code: number): void;
}

const intoPlane = (bits: number, bytes: Uint8Array): ((place: number, code: number) => void) => {
  if (bits === 8)
    return (place, code) => {
      bytes[place] = code;
    };
  const [perByte, mask] = [8 / bits, 2 ** bits - 1];
  return (place, code) => {
    const shift = (perByte - 1 - (place % perByte)) * bits;
    bytes[(place - (place % perByte)) / perByte]! |= (code & mask) << shift;
  };
};

/** Planes of zeroed codes for a matrix of so many rows. */
export const codeWriter = (attrs: PackedAttrs, rows: number): CodeWriter => {
  const { lowBits, highBits } = packedFormats[attrs.format];
  const { bytes, highBytes } = packedRow(attrs);
  const codes = new Uint8Array(rows * bytes);
  const low = intoPlane(lowBits, codes);
  if (highBits === 0) return { planes: { codes }, put: low };
  const high = new Uint8Array(rows * highBytes);
  const upper = intoPlane(highBits, high);
  return {
    planes: { codes, high },
    put: (place, code) => {
      low(place, code);
      upper(place, code >> lowBits);
    },
  };
};

/** Packs bits of codes, those from `shift` on, one after another from a byte on. Codes fill whole bytes. */
export const packPlane = (
  codes: ArrayLike<number>,
  shift: number,
  bits: 1 | 2 | 4 | 8,
  bytes: Uint8Array,
  at: number,
): void => {
  if (bits === 8 && shift === 0) {
    bytes.set(codes, at);
    return;
  }
  const [perByte, mask] = [8 / bits, 2 ** bits - 1];
  for (let i = 0; i < codes.length; i += perByte) {
    let byte = 0;
    for (let j = 0; j < perByte; j++) byte = (byte << bits) | ((codes[i + j]! >> shift) & mask);
    bytes[at + i / perByte] = byte;
  }
};

/** The planes of a matrix's codes, and a function that packs those of a whole row into them. */
export interface RowWriter extends Pick<CodeWriter, 'planes'> {
  put(row: number, codes: Uint8Array): void;
}

/** Planes of zeroed codes for a matrix of so many rows; `codes` of a row are those of its blocks. */
export const rowWriter = (attrs: PackedAttrs, rows: number): RowWriter => {
  const { lowBits, highBits } = packedFormats[attrs.format];
  const { bytes, highBytes } = packedRow(attrs);
  const { planes } = codeWriter(attrs, rows);
  return {
    planes,
    put: (row, codes) => {
      packPlane(codes, 0, lowBits, planes.codes, row * bytes);
      if (planes.high) packPlane(codes, lowBits, highBits as 1 | 2, planes.high, row * highBytes);
    },
  };
};

/** The planes of a matrix whose rows of codes `fill` makes one after another, in the array that it is given. */
export const eachRow = (
  attrs: PackedAttrs,
  rows: number,
  fill: (row: number, codes: Uint8Array) => void,
): CodeWriter['planes'] => {
  const { planes, put } = rowWriter(attrs, rows);
  const codes = new Uint8Array(packedRow(attrs).blocks * attrs.block);
  for (let row = 0; row < rows; row++) {
    fill(row, codes);
    put(row, codes);
  }
  return planes;
};
