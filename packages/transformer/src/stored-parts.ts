import type { TensorReader } from '@peftjs/io';
import type { FindExperts, FindLayer, StoredExperts, StoredLayer } from './checkpoint-reader.ts';
import type { Path } from './sites.ts';
import type { TensorNeeds } from './weights.ts';

/** The layers that a checkpoint holds packed, by path. */
export const storedLayers = async (
  find: FindLayer | null,
  needs: TensorNeeds,
  checkpoint: TensorReader,
  nameInFile: (name: string) => string,
): Promise<ReadonlyMap<Path, StoredLayer>> => {
  const found = new Map<Path, StoredLayer>();
  if (!find) return found;
  for (const [name, { shape }] of needs) {
    const path = name.replace(/\.weight$/, '');
    if (shape.length !== 2 || path === name) continue;
    const layer = await find(checkpoint, nameInFile(name).replace(/\.weight$/, ''), shape as [number, number]);
    if (layer) found.set(path, layer);
  }
  return found;
};

/** The matrices of experts that a checkpoint holds packed, by our name. */
export const storedExperts = (
  find: FindExperts | null,
  needs: TensorNeeds,
  checkpoint: TensorReader,
  nameInFile: (name: string) => string,
): ReadonlyMap<string, StoredExperts> => {
  const found = new Map<string, StoredExperts>();
  if (!find) return found;
  for (const [name, { shape }] of needs) {
    if (shape.length !== 3 || name.endsWith('.weight')) continue;
    const experts = find(checkpoint, nameInFile(name), shape as [number, number, number]);
    if (experts) found.set(name, experts);
  }
  return found;
};

/** Biases of zeros that some quantisers give layers which have none. */
export const zeroBiases = async (
  paths: Iterable<Path>,
  needs: TensorNeeds,
  checkpoint: TensorReader,
  nameInFile: (name: string) => string,
): Promise<string[]> => {
  const zeros: string[] = [];
  for (const path of paths) {
    const name = nameInFile(`${path}.weight`).replace(/weight$/, 'bias');
    if (needs.has(`${path}.bias`) || !checkpoint.tensors.has(name)) continue;
    if ((await checkpoint.readFloat32(name)).every((v) => v === 0)) zeros.push(name);
  }
  return zeros;
};
