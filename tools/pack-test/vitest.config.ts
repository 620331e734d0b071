import { defineConfig, mergeConfig, type ViteUserConfig } from 'vitest/config';
import shared from '../config/vitest.config.ts';

// It measures how long imports take, so it runs after all others, when the machine is its own.
const config: ViteUserConfig = mergeConfig(shared, defineConfig({ test: { sequence: { groupOrder: 1 } } }));

export default config;
