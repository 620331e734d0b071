import { defineConfig, type Options } from 'tsup';
import { pureCalls } from './pure-calls.ts';

const config: Options | Options[] | ((overrideOptions: Options) => Options | Options[] | Promise<Options | Options[]>) =
  defineConfig({
    entry: ['src/index.ts'],
    format: ['esm'],
    target: 'node20',
    dts: true,
    clean: true,
    plugins: [pureCalls],
  });

export default config;
