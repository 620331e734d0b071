import type { Random } from './random.ts';

const interesting = [0, 1, 2, 0x20, 0x22, 0x2c, 0x2d, 0x2e, 0x5b, 0x5d, 0x7b, 0x7d, 0x7f, 0x80, 0xfe, 0xff];

const placed = (bytes: Uint8Array, at: number, cut: number, added: Uint8Array): Uint8Array => {
  const out = new Uint8Array(bytes.length - cut + added.length);
  out.set(bytes.subarray(0, at));
  out.set(added, at);
  out.set(bytes.subarray(at + cut), at + added.length);
  return out;
};

/** Bytes with a few changed, cut off, repeated, added, or replaced by those of elsewhere. */
export const mutateBytes = (bytes: Uint8Array, r: Random): Uint8Array => {
  let out: Uint8Array = bytes.slice();
  for (let i = r.below(4); i >= 0; i--) {
    const at = r.below(out.length + 1);
    const length = Math.min(1 + r.below(r.of([1, 2, 8, 64, 1024])), out.length - at);
    switch (r.below(8)) {
      case 0:
        if (at < out.length) out[at]! ^= 1 << r.below(8);
        break;
      case 1:
        if (at < out.length) out[at] = r.of(interesting);
        break;
      case 2:
        out = out.slice(0, at);
        break;
      case 3:
        out = placed(out, at, length, new Uint8Array(0));
        break;
      case 4:
        out = placed(out, at, 0, out.slice(at, at + length));
        break;
      case 5:
        out = placed(
          out,
          at,
          0,
          Uint8Array.from({ length: 1 + r.below(8) }, () => r.below(256)),
        );
        break;
      case 6: {
        // A number of 32 or 64 bits, as lengths and offsets are.
        const size = r.of([4, 8]);
        const value = r.of([
          0n,
          1n,
          0x7fff_ffffn,
          0xffff_ffffn,
          2n ** 53n,
          2n ** 63n,
          2n ** 64n - 1n,
          BigInt(out.length),
        ]);
        const number = new Uint8Array(8);
        new DataView(number.buffer).setBigUint64(0, value, true);
        if (at + size <= out.length) out.set(number.subarray(0, size), at);
        break;
      }
      default: {
        const from = r.below(out.length + 1);
        out.copyWithin(at, from, Math.min(out.length, from + length));
      }
    }
  }
  return out;
};
