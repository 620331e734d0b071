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

/** WGSL of `fn dynamic(code: u32) -> f32`. */
export const dynamicMapWgsl = `
const decades = array<f32, 7>(1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0);
fn dynamic(code: u32) -> f32 {
  if (code == 127u) { return 0.0; }
  if (code == 255u) { return 1.0; }
  let step = select(127u - code, code - 127u, code > 127u);
  let decade = firstLeadingBit(step);
  let share = f32(1u << decade);
  let size = decades[decade] * (0.1 + 0.9 * ((f32(step) - share + 0.5) / share));
  return select(-size, size, code > 127u);
}`;
