export { distance, shake, tinyConfig, tinyGpt2, tinyGpt2Config, tinyLlama, tokens } from '@peftjs/transformer/testing';
