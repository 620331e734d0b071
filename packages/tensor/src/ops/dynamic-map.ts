/**
 * The 256 numbers of the 8-bit dynamic data type, ascending in [−0.993, 1]: a sign, a decimal exponent in unary, and a linear fraction;
 * 0 and 1 are among them. Dettmers, Lewis, Shleifer & Zettlemoyer, 2022. https://arxiv.org/abs/2110.02861
 */
export const dynamicMap: readonly number[] = Array.from({ length: 256 }, (_, code) => {
  const step = Math.abs(code - 127);
  if (step === 0) return 0;
  if (code === 255) return 1;
  const decade = Math.floor(Math.log2(step));
  const fraction = (step - 2 ** decade + 0.5) / 2 ** decade;
  return Math.fround(Math.sign(code - 127) * 10 ** (decade - 6) * (0.1 + 0.9 * fraction));
});

/** The same for values that have no sign, ascending in [0, 1]: the sign's bit goes to the fraction. */
export const unsignedDynamicMap: readonly number[] = Array.from({ length: 256 }, (_, code) => {
  if (code === 0) return 0;
  if (code === 255) return 1;
  const share = 2 ** Math.floor(Math.log2(code + 1));
  const fraction = (code + 1 - share + 0.5) / share;
  return Math.fround(10 ** (Math.log2(share) - 7) * (0.1 + 0.9 * fraction));
});

/** The middles between neighbours of such a map: a value's code is the number of them that lie below it. */
export const middlesOf = (map: readonly number[]): readonly number[] =>
  map.slice(1).map((level, i) => Math.fround((level + map[i]!) / 2));

/** The code of the level that is nearest. */
export const nearestCode = (middles: readonly number[], x: number): number => {
  let code = 0;
  for (let bit = 128; bit > 0; bit >>= 1) if (middles[code + bit - 1]! < x) code += bit;
  return code;
};
