import { softwareGpuEnv } from '../../packages/testkit/src/software-gpu.mjs';

/**
 * Vitest's global set-up: points the Vulkan loader at the software GPU. The loader reads its variables when a process
 * starts, so they are set here, in Vitest's own process, before it starts the workers that run the tests.
 */
export default async function softwareGpu(): Promise<void> {
  Object.assign(process.env, await softwareGpuEnv());
}
