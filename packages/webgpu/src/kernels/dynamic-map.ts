/** WGSL of `fn dynamic(code: u32) -> f32`: the levels of the 8-bit dynamic data type. */
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

/** WGSL of `fn unsigned_dynamic(code: u32) -> f32`, those for values that have no sign; after `dynamicMapWgsl`. */
export const unsignedDynamicMapWgsl = `
fn unsigned_dynamic(code: u32) -> f32 {
  if (code == 0u) { return 0.0; }
  if (code == 255u) { return 1.0; }
  let decade = firstLeadingBit(code + 1u);
  let share = f32(1u << decade);
  return decades[decade - 1u] * (0.1 + 0.9 * ((f32(code + 1u) - share + 0.5) / share));
}`;
