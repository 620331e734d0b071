import { PeftError, type Shape, sameShape } from '@peftjs/tensor';
import { buildModel, familyOf } from './architectures.ts';
import type { CausalLM } from './causal-lm.ts';
import { fileNames, type StoredTensor, storedTensor } from './checkpoint-layout.ts';

interface Found {
  readonly tensors: ReadonlyMap<string, { readonly shape: Shape }>;
}

/** What does not fit between the tensors that a model wants stored and those of a checkpoint. */
const misfits = (wanted: readonly StoredTensor[], { tensors }: Found, ignored: (name: string) => boolean): string[] => {
  const names = new Set(wanted.map(({ name }) => name));
  return [
    ...wanted.flatMap(({ name, shape }) => {
      const found = tensors.get(name);
      if (!found) return [`${name} [${shape}] is missing`];
      return sameShape(found.shape, shape) ? [] : [`${name} is [${found.shape}], the config makes it [${shape}]`];
    }),
    ...[...tensors.keys()]
      .filter((name) => !names.has(name) && !ignored(name))
      .map((name) => `${name} belongs to nothing in the model`),
  ];
};

/**
 * Loads a model from a folder with `config.json` and safetensors, as Hugging Face writes them. Only headers are read and checked now;
 * each tensor is read, as f32, when an executor first needs it, so the folder must stay as it is.
 * Throws `file-missing`, `bad-config`, `unknown-architecture`, `bad-safetensors`; `state-mismatch` with all tensors that are missing,
 * left over or of another shape.
 */
export const loadModel = async (dir: string): Promise<CausalLM> => {
  // Loaded when asked for: the file system is of no use to those who build models in a browser.
  const { loadConfig, openCheckpoint } = await import('@peftjs/io');
  const config = await loadConfig(dir);
  const { needs, layout } = familyOf(config);
  await using checkpoint = await openCheckpoint(dir);
  const nameInFile = fileNames(layout, checkpoint.tensors.keys());
  const stored = new Map<string, StoredTensor>();
  for (const [name, { shape }] of needs(config))
    stored.set(name, { ...storedTensor(layout, name, shape), name: nameInFile(name) });
  const isIgnored = (name: string): boolean =>
    layout.ignored.test(name) || (config.tieWordEmbeddings && name === 'lm_head.weight');
  const problems = misfits([...stored.values()], checkpoint, isIgnored);
  if (problems.length > 0)
    throw new PeftError(
      'state-mismatch',
      `${dir}: the checkpoint does not fit its config.json: ${problems.join('; ')}. Download the folder again, or correct the config.`,
    );
  const read = async ({ name, fromFile }: StoredTensor): Promise<Float32Array> => {
    await using reader = await openCheckpoint(dir);
    return fromFile(await reader.readFloat32(name));
  };
  return buildModel(config, { has: (name) => stored.has(name), load: (name) => () => read(stored.get(name)!) });
};
