import { PeftError } from '@peftjs/tensor';
import { joinPath } from './files/file-path.ts';
import type { Files, Place } from './files/files.ts';
import { filesAt } from './files/place.ts';
import { listed, quote, reasonOf } from './report.ts';
import type { TensorInfo } from './safetensors/header.ts';
import { openSafetensors } from './safetensors/open.ts';
import { findTensor, type TensorReader } from './safetensors/reader.ts';
import { readShardIndex } from './shard-index.ts';

const singleFile = 'model.safetensors';
const indexFile = 'model.safetensors.index.json';
const torchFile = 'pytorch_model.bin';
const torchIndexFile = 'pytorch_model.bin.index.json';

/**
 * Opens the weights in a model folder: `model.safetensors`, or the shards that `model.safetensors.index.json` names; where neither is
 * there, what `torch.save` wrote, `pytorch_model.bin` or its shards (see `openTorch`). Headers are read and checked, tensors are read
 * when asked for. Shards and index must agree on every tensor. Close it, or declare it with `await using`.
 *
 * Throws `PeftError`: `file-missing`, `bad-safetensors` or `bad-torch` with the problems of all shards.
 */
export const openModelWeights = async (dir: Place): Promise<TensorReader> => {
  const files = await filesAt(dir);
  const has = async (path: string): Promise<boolean> => (await files.size(path)) !== null;
  if (await has(singleFile)) return openSafetensors({ files, path: singleFile });
  if (await has(indexFile)) return openShards(files, indexFile);
  if (await has(torchFile)) return openWeights(files, torchFile);
  if (await has(torchIndexFile)) return openShards(files, torchIndexFile);
  throw new PeftError(
    'file-missing',
    `${files.name}: has neither ${singleFile} nor ${indexFile}; ${await contentOf(files)}`,
  );
};

const openWeights = async (files: Files, path: string): Promise<TensorReader> => {
  if (path.endsWith('.safetensors')) return openSafetensors({ files, path });
  const { openTorch } = await import('./torch/open.ts');
  return openTorch({ files, path });
};

const contentOf = async (files: Files): Promise<string> => {
  try {
    const names = await files.list();
    if (names === null) return 'what else it holds is not known. Check the address.';
    return `it holds ${names.slice(0, 10).map(quote).join(', ') || 'nothing'}. Check the path.`;
  } catch (error) {
    return `the folder cannot be read: ${reasonOf(error)}`;
  }
};

const openShards = async (files: Files, indexFile: string): Promise<TensorReader> => {
  const dir = files.name;
  const indexPath = joinPath(dir, indexFile);
  const { shards: index, code } = await readShardIndex(files, indexFile);
  const readers = new Map<string, TensorReader>();
  const close = async (): Promise<void> => {
    await Promise.all([...readers.values()].map((reader) => reader.close()));
  };
  const problems: string[] = [];
  let firstError: unknown;
  for (const shard of index.keys()) {
    try {
      readers.set(shard, await openWeights(files, shard));
    } catch (error) {
      firstError ??= error;
      problems.push(reasonOf(error));
    }
  }
  const owners = new Map<string, TensorReader>();
  const tensors = new Map<string, TensorInfo>();
  for (const [shard, reader] of readers) {
    for (const name of index.get(shard)!)
      if (!reader.tensors.has(name))
        problems.push(`${shard} has no tensor ${quote(name)}, which the index says it has`);
    for (const [name, info] of reader.tensors) {
      if (owners.has(name)) problems.push(`tensor ${quote(name)} is in ${shard} and in another shard`);
      else if (!index.get(shard)!.has(name))
        problems.push(`${shard} has tensor ${quote(name)}, of which the index knows nothing`);
      owners.set(name, reader);
      tensors.set(name, info);
    }
  }
  if (problems.length > 0) {
    await close();
    throw new PeftError(code, `${indexPath}: the shards are not sound:${listed(problems)}\nDownload ${dir} again.`, {
      cause: firstError,
    });
  }
  const metadata = new Map([...readers.values()].flatMap((reader) => [...reader.metadata]));
  const owner = (name: string): TensorReader => findTensor(dir, owners, name);
  return {
    path: dir,
    metadata,
    tensors,
    read: async (name) => owner(name).read(name),
    readFloat32: async (name) => owner(name).readFloat32(name),
    parts: (name) => owner(name).parts(name),
    close,
    [Symbol.asyncDispose]: close,
  };
};
