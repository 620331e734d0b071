import { fileURLToPath } from 'node:url';

/**
 * The folder of the shipped model, in Hugging Face layout: `config.json`, `model.safetensors`, `tokenizer.json`,
 * `tokenizer_config.json` and the model card `README.md`.
 *
 * @returns an absolute path, the same from the sources and from the built package
 */
export function baseModelDir(): string {
  return fileURLToPath(new URL('../model', import.meta.url));
}
