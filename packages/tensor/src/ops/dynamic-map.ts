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
