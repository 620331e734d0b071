/**
 * The folder of the shipped encoder-decoder, in Hugging Face layout: `config.json`, `model.safetensors`, `tokenizer.json`,
 * `tokenizer_config.json` and the model card `README.md`.
 *
 * @returns an absolute path, the same from the sources and from the built package; a URL where the package came by one
 */
export function baseSeq2seqDir(): string {
  const { href } = new URL('../model', import.meta.url);
  return href.startsWith('file:') ? process.getBuiltinModule('node:url').fileURLToPath(href) : href;
}
