/// <reference types="@webgpu/types" />
import { PeftError } from '@peftjs/tensor';
import { importInNode } from '../for-node.ts';
import type { DeviceFacts } from '../kernel.ts';
import { type Faults, watchFaults } from './faults.ts';
import { type Toggle, toggleOptions } from './toggles.ts';

/** Features that kernels make use of where the adapter has them. */
export type GpuFeature = 'shader-f16' | 'subgroups' | 'timestamp-query';

/** Which adapter to open, and how. */
export interface GpuOptions {
  /**
   * `'software'`: a driver that runs on the CPU, for checking kernels. `'any'`: hardware if there is some, else
   * software. Default `'hardware'`, which never falls back.
   */
  readonly adapter?: 'hardware' | 'software' | 'any';
  /** Where there are several. Default `'high-performance'`. */
  readonly powerPreference?: 'high-performance' | 'low-power';
  /** Taken where the adapter has them. Default: all. */
  readonly features?: readonly GpuFeature[];
  /**
   * `'f16'`: products by frozen matrices, those that are stored in f16 or packed, and by their transposes for the gradient of the inputs, round what they multiply to f16 and sum runs
   * of four so, the rest in f32. Rows of the inputs are scaled by powers of two, so that neither large values nor small gradients leave f16's range; relative errors are about 2⁻¹¹. Where a
   * matrix has values of 128 and more, a sum may not fit: the output is then NaN, never an infinity or a wrong number. Needs `shader-f16`. Default `'f32'`.
   */
  readonly compute?: 'f32' | 'f16';
  /** Dawn's toggles to switch on or off, in Node. */
  readonly enable?: readonly Toggle[];
  readonly disable?: readonly Toggle[];
}

/** An open device. */
export interface Gpu extends Faults {
  readonly device: GPUDevice;
  /** For people: vendor, device and driver. */
  readonly description: string;
  readonly facts: DeviceFacts;
  /** Destroys the device, and lets go of Dawn so that the process can end. */
  close(): void;
}

const allFeatures: readonly GpuFeature[] = ['shader-f16', 'subgroups', 'timestamp-query'];

/** Limits that are raised to what the adapter has; WebGPU's defaults are those of a phone. */
const raisedLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
] as const;

const unavailable = (problem: string, cause?: unknown): PeftError =>
  new PeftError('device-unavailable', `webgpu: ${problem}`, cause === undefined ? {} : { cause });

/** The browser's WebGPU, or Dawn's; toggles are Dawn's alone. */
const entryPoint = async ({ adapter = 'hardware', enable = [], disable = [] }: GpuOptions): Promise<GPU> => {
  const own = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (own) return own;
  const { hasVulkanLoader } = await import('./vulkan-loader.ts');
  if (adapter === 'hardware' && !hasVulkanLoader()) throw unavailable(missing.hardware);
  try {
    const { create } = await importInNode('webgpu');
    const slowToCompile =
      adapter === 'hardware' ? [] : (['use_vulkan_zero_initialize_workgroup_memory_extension'] as const);
    // Rounded timestamps would hide short kernels from profiles; here no web page is to be kept from them.
    return create(toggleOptions(enable, ['timestamp_quantization', ...slowToCompile, ...disable]));
  } catch (error) {
    throw unavailable('the npm package "webgpu" (Dawn) does not load here; install it, or use the cpu executor', error);
  }
};

const describeAdapter = ({ info }: GPUAdapter): string =>
  [info.vendor, info.device || info.architecture, info.description].filter(Boolean).join(' ') || 'unnamed adapter';

/** Why there is no adapter of a kind, and what to do. */
const missing = {
  hardware: "there is no adapter; install the GPU's driver (on Linux with the Vulkan loader), or use the cpu executor",
  software:
    'there is no software adapter; on Linux start the process with VK_DRIVER_FILES naming a Vulkan driver for the CPU',
  any: 'there is no adapter, hardware or software; install a Vulkan driver, or use the cpu executor',
};

const requestAdapter = async (
  gpu: GPU,
  { adapter: wanted = 'hardware', powerPreference = 'high-performance' }: GpuOptions,
): Promise<GPUAdapter> => {
  // Of CPU drivers Dawn knows only SwiftShader by this request; others show themselves in a plain one.
  const fallback = wanted === 'software' ? await gpu.requestAdapter({ forceFallbackAdapter: true }) : null;
  const adapter = fallback ?? (await gpu.requestAdapter({ powerPreference }));
  if (!adapter || (wanted === 'software' && !adapter.info.isFallbackAdapter)) throw unavailable(missing[wanted]);
  if (wanted === 'hardware' && adapter.info.isFallbackAdapter)
    throw unavailable(
      `the only adapter is software (${describeAdapter(adapter)}); use the cpu executor, which is faster, or ask for adapter: 'software'`,
    );
  return adapter;
};

const factsOf = (
  { features, limits }: GPUDevice,
  { info }: GPUAdapter,
  { wgslLanguageFeatures }: GPU,
  { compute = 'f32' }: GpuOptions,
): DeviceFacts => ({
  f16: features.has('shader-f16'),
  // A browser of WebGPU's first days has no such set.
  dot4: wgslLanguageFeatures?.has('packed_4x8_integer_dot_product') ?? false,
  halfProducts: compute === 'f16',
  subgroups: features.has('subgroups'),
  ...(features.has('subgroups') &&
    info.subgroupMinSize === info.subgroupMaxSize && { subgroupSize: info.subgroupMinSize }),
  software: info.isFallbackAdapter,
  workgroupMemory: limits.maxComputeWorkgroupStorageSize,
  maxInvocations: Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
});

/**
 * Opens a device: `navigator.gpu` where there is one, else Dawn, loaded only now. Throws `device-unavailable` when
 * there is no adapter of the wanted kind, it gives no device, or it lacks the f16 that is asked for.
 */
export const openGpu = async (options: GpuOptions = {}): Promise<Gpu> => {
  let entry: GPU | null = await entryPoint(options);
  const adapter = await requestAdapter(entry, options);
  const description = describeAdapter(adapter);
  const requiredFeatures = (options.features ?? allFeatures).filter((f) => adapter.features.has(f));
  if (options.compute === 'f16' && !requiredFeatures.includes('shader-f16'))
    throw unavailable(`${description} computes without f16 (shader-f16); leave out compute: 'f16'`);
  const requiredLimits = Object.fromEntries(raisedLimits.map((name) => [name, adapter.limits[name]]));
  const device = await adapter.requestDevice({ requiredFeatures, requiredLimits }).catch((error: unknown) => {
    throw unavailable(`${description} gives no device; close what else uses it`, error);
  });
  const { check, note } = watchFaults(device, description);
  return {
    device,
    description,
    facts: factsOf(device, adapter, entry, options),
    note,
    check: () => {
      // Dawn lives as long as its entry point is held; this closure is what holds it.
      if (!entry)
        throw new PeftError('bad-program', `webgpu: the executor on ${description} is closed; make a new one`);
      check();
    },
    close: () => {
      device.destroy();
      entry = null;
    },
  };
};
