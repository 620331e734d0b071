/** A protobuf message under construction: its bytes in parts, so that large payloads are copied once, at the end. */
export interface Message {
  readonly parts: readonly Uint8Array[];
  readonly size: number;
}

const text = new TextEncoder();

/** Base-128 digits, low first; negative numbers as 64-bit two's complement. */
const varint = (value: number): number[] => {
  const digits: number[] = [];
  for (let rest = BigInt.asUintN(64, BigInt(value)); ; rest >>= 7n) {
    if (rest < 128n) return [...digits, Number(rest)];
    digits.push(Number(rest & 127n) | 128);
  }
};

const small = (bytes: readonly number[]): Message => ({ parts: [Uint8Array.from(bytes)], size: bytes.length });

/** Fields one after another. */
export const message = (...fields: readonly Message[]): Message => ({
  parts: fields.flatMap((f) => f.parts),
  size: fields.reduce((n, f) => n + f.size, 0),
});

/** An integer, bool or enum field. */
export const intField = (field: number, value: number): Message => small([...varint(field << 3), ...varint(value)]);

/** A float field: 32 bits, little-endian. */
export const floatField = (field: number, value: number): Message =>
  small([...varint((field << 3) | 5), ...new Uint8Array(Float32Array.of(value).buffer)]);

/** A nested message. */
export const messageField = (field: number, value: Message): Message =>
  message(small([...varint((field << 3) | 2), ...varint(value.size)]), value);

/** A bytes field; the bytes are not copied here. */
export const bytesField = (field: number, value: Uint8Array): Message =>
  messageField(field, { parts: [value], size: value.length });

/** A string field, UTF-8. */
export const stringField = (field: number, value: string): Message => bytesField(field, text.encode(value));

/** Repeated integers, packed. */
export const intsField = (field: number, values: readonly number[]): Message =>
  messageField(field, small(values.flatMap(varint)));

/** The message as one array. */
export const toBytes = ({ parts, size }: Message): Uint8Array => {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
};
