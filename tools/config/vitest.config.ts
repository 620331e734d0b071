import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig, type ViteUserConfig } from 'vitest/config';

const config: ViteUserConfig = defineConfig({
  resolve: { conditions: ['@peftjs/source'] },
  ssr: { resolve: { conditions: ['@peftjs/source'], externalConditions: ['@peftjs/source'] } },
  test: {
    // Native addons (Dawn, onnxruntime) do not survive the end of a worker thread, only that of a process.
    pool: 'forks',
    maxWorkers: availableParallelism(),
    globalSetup: [fileURLToPath(new URL('software-gpu.ts', import.meta.url))],
    // Products by fixed kernels: the same bits whatever the machine. No executor may be left out.
    env: { PEFTJS_AUTOTUNE: 'off', PEFTJS_EXECUTORS: 'cpu,webgpu' },
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    passWithNoTests: true,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});

export default config;
