import { softwareGpuEnv as envOf } from './software-gpu.mjs';

/**
 * The environment in which a process started with it finds a software WebGPU adapter: SwiftShader, unpacked once into the user's cache folder (or the temporary
 * folder) from the npm package `@sparticuz/chromium`, which must be installed. Empty where a Vulkan driver is named already (`VK_DRIVER_FILES`), and on
 * systems other than Linux x64, which that package doesn't serve.
 */
export const softwareGpuEnv: () => Promise<Record<string, string>> = envOf;

/**
 * Vitest's global set-up: `globalSetup: ['@peftjs/testkit/software-gpu']` lets the laws run on `webgpu` on a machine without a GPU. The Vulkan loader reads its
 * variables when a process starts, so they are set before Vitest starts the workers; `pool: 'forks'` makes these processes.
 */
export const setup = async (): Promise<void> => void Object.assign(process.env, await envOf());
