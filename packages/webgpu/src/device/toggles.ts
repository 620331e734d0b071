/**
 * Dawn's toggles that are of use here. Dawn ignores names it doesn't know without a word, so they are typed.
 * https://dawn.googlesource.com/dawn/+/refs/heads/main/src/dawn/native/Toggles.cpp
 */
export const toggles = [
  /**
   * No validation of API calls: faster start of each kernel, undefined behaviour where a call is wrong. Never in
   * tests.
   */
  'skip_validation',
  /** No bounds checks on array accesses in kernels. */
  'disable_robustness',
  /** Workgroup memory isn't zeroed when a kernel starts. */
  'disable_workgroup_init',
  /**
   * On by default: the driver zeroes workgroup memory. Off, the kernel does, in a loop; SwiftShader would write a
   * statement per value.
   */
  'use_vulkan_zero_initialize_workgroup_memory_extension',
  /** On by default: timestamps are rounded, which hides short kernels. */
  'timestamp_quantization',
  /** `shader-f16` on NVIDIA's Vulkan drivers. */
  'vulkan_enable_f16_on_nvidia',
  /** Prints every kernel as the driver gets it. */
  'dump_shaders',
  /** Keeps the names of WGSL in what the driver gets. */
  'disable_symbol_renaming',
  /** Labels reach the driver's own tools. */
  'use_user_defined_labels_in_backend',
] as const;

/** The name of a Dawn toggle. */
export type Toggle = (typeof toggles)[number];

/** The options of Dawn's `create` that switch toggles on and off. */
export const toggleOptions = (enable: readonly Toggle[], disable: readonly Toggle[]): string[] => [
  ...(enable.length > 0 ? [`enable-dawn-features=${enable.join(',')}`] : []),
  ...(disable.length > 0 ? [`disable-dawn-features=${disable.join(',')}`] : []),
];
