export { tinyConfig, tinyLlama } from './tiny-llama.ts';
export { distance, shake, tokens } from './values.ts';
