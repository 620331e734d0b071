import type { ViteUserConfig } from 'vitest/config';
import config from './vitest.config.ts';

/** For packages of many short test files: files of one process share the modules that one of them has loaded, which take two thirds of the time to load. Their tests change nothing that a module keeps. */
const together: ViteUserConfig = { ...config, test: { ...config.test, isolate: false } };

export default together;
