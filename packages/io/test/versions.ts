import { readAdapter } from '../src/adapter/read.ts';
import { writeAdapter } from '../src/adapter/write.ts';

/** Saves an adapter all of whose numbers are one. */
export const writeVersion = (dir: string, version: number, size: number): Promise<void> =>
  writeAdapter(
    dir,
    { peft_type: 'LORA', lora_alpha: version },
    new Map(['a', 'b'].map((name) => [name, { shape: [size], data: new Float32Array(size).fill(version) }])),
  );

/** Reads such an adapter. Throws where not all of its numbers are the same one. */
export const readVersion = async (dir: string): Promise<number> => {
  const { config, tensors } = await readAdapter(dir);
  const version = Number(config.raw['lora_alpha']);
  for (const { data } of tensors.values())
    if (!data.every((value) => value === version)) throw new Error(`a mixture of ${version} and ${data[0]}`);
  return version;
};
