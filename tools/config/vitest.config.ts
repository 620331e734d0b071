import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { conditions: ['@peftjs/source'] },
  ssr: { resolve: { conditions: ['@peftjs/source'], externalConditions: ['@peftjs/source'] } },
  test: { pool: 'forks', include: ['src/**/*.test.ts', 'test/**/*.test.ts'], testTimeout: 120_000, hookTimeout: 120_000 },
});
