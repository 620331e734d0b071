export { tinyGpt2, tinyGpt2Config } from './tiny-gpt2.ts';
export { tinyConfig, tinyLlama } from './tiny-llama.ts';
export { distance, shake, tokens } from './values.ts';
