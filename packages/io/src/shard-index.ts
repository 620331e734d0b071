import { PeftError } from '@peftjs/tensor';
import { joinPath } from './files/file-path.ts';
import type { Files } from './files/files.ts';
import { isObject } from './json.ts';
import { readJsonObject } from './read-json.ts';
import { listed, quote } from './report.ts';

/** One plain file name: an index must not lead out of its folder. */
const shardName = /^[A-Za-z0-9_][A-Za-z0-9._ -]*\.(safetensors|bin)$/;

/** A list of shards and the tensors in each. */
export interface ShardIndex {
  readonly shards: ReadonlyMap<string, ReadonlySet<string>>;
  /** The code of an error in the index or in its shards. */
  readonly code: 'bad-safetensors' | 'bad-torch';
}

/**
 * Reads `model.safetensors.index.json` or `pytorch_model.bin.index.json`: which shard holds which tensor.
 *
 * Throws `PeftError`: `file-missing`; `bad-safetensors` or `bad-torch` with all that is wrong, also a shard that is not a plain file name.
 */
export const readShardIndex = async (files: Files, path: string): Promise<ShardIndex> => {
  const kind = path.endsWith('.bin.index.json') ? 'bin' : 'safetensors';
  const code = kind === 'bin' ? 'bad-torch' : 'bad-safetensors';
  const { weight_map: weightMap } = await readJsonObject(files, path, code);
  const shards = new Map<string, Set<string>>();
  const problems: string[] = [];
  if (!isObject(weightMap)) problems.push('weight_map is not an object from tensor names to file names');
  else if (Object.keys(weightMap).length === 0) problems.push('weight_map names no tensor');
  for (const [tensor, shard] of Object.entries(isObject(weightMap) ? weightMap : {})) {
    if (typeof shard !== 'string' || shardName.exec(shard)?.[1] !== kind) {
      const got = quote(typeof shard === 'string' ? shard : String(JSON.stringify(shard)));
      problems.push(`tensor ${quote(tensor)} is said to be in ${got}, which is not the plain name of a .${kind} file`);
      continue;
    }
    const names = shards.get(shard) ?? new Set();
    shards.set(shard, names.add(tensor));
  }
  if (problems.length > 0)
    throw new PeftError(
      code,
      `${joinPath(files.name, path)}: is not a sound index:${listed(problems)}\nDownload ${files.name} again.`,
    );
  return { shards, code };
};
