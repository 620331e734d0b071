const chunkSize = 2 ** 16;

/** Payloads from this size on are not copied until the end. */
const largePayload = 2 ** 12;

const text = new TextEncoder();

const isAscii = (value: string): boolean => {
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) >= 128) return false;
  return true;
};

/** Writes protobuf (https://protobuf.dev/programming-guides/encoding) from front to back. */
export class Wire {
  readonly #parts: Uint8Array[] = [];
  #chunk = new Uint8Array(chunkSize);
  #at = 0;
  /** Bytes before the chunk. */
  #before = 0;

  #endChunk(): void {
    this.#parts.push(this.#chunk.subarray(0, this.#at));
    this.#before += this.#at;
    this.#chunk = this.#chunk.subarray(this.#at);
    this.#at = 0;
  }

  #reserve(size: number): void {
    if (this.#at + size <= this.#chunk.length) return;
    this.#endChunk();
    this.#chunk = new Uint8Array(Math.max(chunkSize, size));
  }

  /** Base-128 digits, low first; negative numbers as 64-bit two's complement. */
  #varint(value: number): void {
    this.#reserve(10);
    let rest = value;
    if (value < 0 || value >= 2 ** 31) {
      let wide = BigInt.asUintN(64, BigInt(value));
      for (; wide >= 2n ** 31n; wide >>= 7n) this.#chunk[this.#at++] = Number(wide & 127n) | 128;
      rest = Number(wide);
    }
    for (; rest >= 128; rest >>= 7) this.#chunk[this.#at++] = (rest & 127) | 128;
    this.#chunk[this.#at++] = rest;
  }

  /** An integer, bool or enum. */
  int(field: number, value: number): void {
    this.#varint(field << 3);
    this.#varint(value);
  }

  /** A float: 32 bits, little-endian. */
  float(field: number, value: number): void {
    this.#varint((field << 3) | 5);
    this.#reserve(4);
    new DataView(this.#chunk.buffer, this.#chunk.byteOffset + this.#at).setFloat32(0, value, true);
    this.#at += 4;
  }

  bytes(field: number, value: Uint8Array): void {
    this.#varint((field << 3) | 2);
    this.#varint(value.length);
    if (value.length < largePayload) {
      this.#reserve(value.length);
      this.#chunk.set(value, this.#at);
      this.#at += value.length;
    } else {
      this.#endChunk();
      this.#parts.push(value);
      this.#before += value.length;
    }
  }

  /** A string, UTF-8. */
  string(field: number, value: string): void {
    if (!isAscii(value)) {
      this.bytes(field, text.encode(value));
      return;
    }
    this.#varint((field << 3) | 2);
    this.#varint(value.length);
    this.#reserve(value.length);
    for (let i = 0; i < value.length; i++) this.#chunk[this.#at++] = value.charCodeAt(i);
  }

  /** A nested message. Its length has five digits, zeros among them, since it is filled in afterwards. */
  message(field: number, write: () => void): void {
    this.#varint((field << 3) | 2);
    this.#reserve(5);
    const digits = this.#chunk.subarray(this.#at, this.#at + 5);
    this.#at += 5;
    const start = this.#before + this.#at;
    write();
    let rest = this.#before + this.#at - start;
    for (let i = 0; i < 5; i++) {
      digits[i] = (rest % 128) | (i < 4 ? 128 : 0);
      rest = Math.floor(rest / 128);
    }
  }

  /** All that was written, as one array. */
  finish(): Uint8Array {
    this.#endChunk();
    const all = new Uint8Array(this.#before);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}
