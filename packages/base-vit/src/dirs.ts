const at = (folder: string): string => {
  const { href } = new URL(folder, import.meta.url);
  return href.startsWith('file:') ? process.getBuiltinModule('node:url').fileURLToPath(href) : href;
};

/**
 * The folder of the shipped vision transformer, in Hugging Face layout: `config.json`, `model.safetensors`, `preprocessor_config.json` and the model card `README.md`.
 *
 * @returns an absolute path, the same from the sources and from the built package; a URL where the package came by one
 */
export function baseVitDir(): string {
  return at('../model');
}

/**
 * The folder of the shipped pictures, of three classes that the model has never seen: `train` and `test`, each with a folder of PNG files for each class.
 *
 * @returns an absolute path or a URL, as `baseVitDir`
 */
export function unseenPicturesDir(): string {
  return at('../pictures');
}
