import { hashWords } from './hash.ts';

/** A stream of uniform values in [0, 1), each of 32 random bits. */
export type Random = () => number;

/**
 * A host-side stream that depends on a seed and a name alone, so one tensor's initial values never depend on which others were made
 * before it. The generator is sfc32 (Doty-Humphrey, PractRand, 2010. https://pracrand.sourceforge.net).
 */
export const randomSource = (seed: number, name = ''): Random => {
  let [a, b, c, counter] = hashWords(`${seed} ${name}`);
  const next = (): number => {
    const t = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + t) | 0;
    return (t >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 12; i++) next();
  return next;
};

/** Values of the normal distribution N(0, std²). Box & Muller, 1958. https://doi.org/10.1214/aoms/1177706645 */
export const normalValues = (size: number, std: number, random: Random): Float32Array => {
  const values = new Float32Array(size);
  for (let i = 0; i < size; i += 2) {
    const radius = std * Math.sqrt(-2 * Math.log(1 - random()));
    const angle = 2 * Math.PI * random();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < size) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
};

/** Values of the uniform distribution on [low, high). */
export const uniformValues = (size: number, low: number, high: number, random: Random): Float32Array => {
  const values = new Float32Array(size);
  for (let i = 0; i < size; i++) values[i] = low + (high - low) * random();
  return values;
};
