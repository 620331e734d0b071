import { availableParallelism } from 'node:os';
import { defineConfig, type ViteUserConfig } from 'vitest/config';
import { LongestFirst } from './tools/config/longest-first.ts';

const config: ViteUserConfig = defineConfig({
  test: {
    // One pool of processes for all of them.
    projects: ['packages/*/vitest.config.ts', 'apps/*/vitest.config.ts', 'tools/*/vitest.config.ts'],
    maxWorkers: availableParallelism(),
    sequence: { sequencer: LongestFirst },
    passWithNoTests: true,
  },
});

export default config;
