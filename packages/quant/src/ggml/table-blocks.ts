import { packedFormats } from '@peftjs/tensor';
import { inPlanes, strided } from './code-bits.ts';
import type { GgmlCodec } from './codec.ts';
import { codesOfLevels, extreme, fitScale, tableLevels } from './fit.ts';
import { halfAt, putHalf } from './half-at.ts';
import { fitScales } from './k-quants.ts';

const iq4Levels = tableLevels(packedFormats.iq4.levels);

/** 16 levels that are not linear, one f16 scale for 32 values. */
export const iq4_NL: GgmlCodec = {
  id: 20,
  size: 32,
  bytes: 18,
  format: 'iq4',
  codes: inPlanes([strided(32, 2, 4, 16)]),
  readScales: (bytes, at) => ({ scale: [halfAt(bytes, at)] }),
  writeScales: (bytes, at, { scale }) => putHalf(bytes, at, scale[0]!),
  fit: (values) => {
    const scale = fitScale(values, iq4Levels);
    return { scale: [scale], codes: codesOfLevels(values, scale, iq4Levels) };
  },
};

/** The same levels; scales of 32 values in 6 bits, from −32 to 31: their upper 2 bits in 2 bytes, the lower 4 in 4. */
export const iq4_XS: GgmlCodec = {
  id: 23,
  size: 256,
  bytes: 136,
  format: 'iq4',
  block: 32,
  scaleMap: 'int8',
  codes: inPlanes([strided(256, 8, 4, 16)]),
  readScales: (bytes, at) => ({
    scale: [halfAt(bytes, at)],
    scaleCodes: Array.from({ length: 8 }, (_, i) => {
      const low = (bytes.getUint8(at + 4 + (i >> 1)) >> (4 * (i & 1))) & 15;
      const high = (bytes.getUint16(at + 2, true) >> (2 * i)) & 3;
      return (low | (high << 4)) - 32 + 128;
    }),
  }),
  writeScales: (bytes, at, { scale, scaleCodes }) => {
    putHalf(bytes, at, scale[0]!);
    let upper = 0;
    for (const [i, code] of scaleCodes!.entries()) {
      const value = code - 128 + 32;
      const low = at + 4 + (i >> 1);
      bytes.setUint8(low, bytes.getUint8(low) | ((value & 15) << (4 * (i & 1))));
      upper |= (value >> 4) << (2 * i);
    }
    bytes.setUint16(at + 2, upper, true);
  },
  fit: fitScales(iq4Levels, 32, -32),
};

/** Codes of floats of 4 bits, the sign in the upper bit. */
const fp4Code = (value: number): number => {
  const { levels } = packedFormats.mxfp4;
  let best = 0;
  for (let code = 1; code < levels.length; code++)
    if (Math.abs(levels[code]! - value) < Math.abs(levels[best]! - value)) best = code;
  return best;
};

/** Floats of 4 bits (OCP Microscaling 1.0), a power of two for 32 values: 2^(e − 127). */
export const mxfp4: GgmlCodec = {
  id: 39,
  size: 32,
  bytes: 17,
  format: 'mxfp4',
  halfScales: false,
  codes: inPlanes([strided(32, 1, 4, 16)]),
  readScales: (bytes, at) => ({ scale: [2 ** (bytes.getUint8(at) - 127)] }),
  writeScales: (bytes, at, { scale }) => bytes.setUint8(at, Math.max(0, Math.min(254, Math.log2(scale[0]!) + 127))),
  fit: (values) => {
    const most = Math.abs(extreme(values));
    const exponent = most > 0 ? Math.max(0, Math.min(254, Math.floor(Math.log2(most)) - 2 + 127)) : 0;
    const scale = 2 ** (exponent - 127);
    return { scale: [scale], codes: Uint8Array.from(values, (v) => fp4Code(v / scale)) };
  },
};

/** The number of 8 bits without a sign: 4 of exponent, 3 of mantissa. */
const e4m3 = (code: number): number => (code === 127 ? 0 : packedFormats.fp8e4m3.levels[code & 127]!);

/** The code of the nearest such number to one that is not negative. */
const nearestE4m3 = (value: number): number => {
  let best = 0;
  for (let code = 1; code < 127; code++) if (Math.abs(e4m3(code) - value) < Math.abs(e4m3(best) - value)) best = code;
  return best;
};

/** Floats of 4 bits, a scale of 8 bits (E4M3) for 16 values. */
export const nvfp4: GgmlCodec = {
  id: 40,
  size: 64,
  bytes: 36,
  format: 'mxfp4',
  block: 16,
  codes: inPlanes([strided(64, 4, 4, 8)]),
  readScales: (bytes, at) => ({ scale: Array.from({ length: 4 }, (_, i) => e4m3(bytes.getUint8(at + i))) }),
  writeScales: (bytes, at, { scale }) => {
    for (const [i, s] of scale.entries()) bytes.setUint8(at + i, nearestE4m3(s));
  },
  fit: (values) => {
    const scale = Array.from({ length: 4 }, (_, i) => {
      const most = Math.abs(extreme(values.subarray(16 * i, 16 * i + 16)));
      return e4m3(nearestE4m3(most / 6));
    });
    return { scale, codes: Uint8Array.from(values, (v, i) => fp4Code(scale[i >> 4] ? v / scale[i >> 4]! : 0)) };
  },
};
