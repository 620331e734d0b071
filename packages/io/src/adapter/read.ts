import { PeftError } from '@peftjs/tensor';
import { joinPath } from '../files/file-path.ts';
import type { Files, Place } from '../files/files.ts';
import { filesAt } from '../files/place.ts';
import { steady } from '../files/steady.ts';
import { isObject, type JsonObject } from '../json.ts';
import { readJson } from '../read-json.ts';
import { listed } from '../report.ts';
import { type AdapterHubHead, headConfigFile, readHeadBeside } from './adapter-hub-head.ts';
import { ownName, renamed, withoutAliases } from './adapter-hub-names.ts';
import { readAdapterHubFolder } from './adapter-hub-read.ts';
import { readAdapterHubSetup, setupFile } from './adapter-hub-setup.ts';
import { checkDigest, digestFile, readConfig, readDigest, type Seen } from './digest.ts';
import {
  type AdapterFileConfig,
  type AdapterLayout,
  configFile,
  parsePeftConfig,
  torchWeightsFile,
  weightsFile,
} from './files.ts';
import { type NamedAdapter, partsFile, readParts } from './parts.ts';
import { type AdapterTensor, readTensors } from './tensors.ts';

/**
 * An adapter folder in memory. Tensor names are those of the file, `base_model.model.<path>.lora_A.weight`; in the layout of adapter-hub the
 * adapter is called `default` in them, whatever its name, unless it is one of several that are fused. Of other blocks (`Stack`, `Average`, …) a
 * tensor's name begins with the part's.
 */
export interface Adapter {
  readonly layout: AdapterLayout;
  readonly config: AdapterFileConfig;
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
  /** The head in files beside those of an adapter of adapter-hub; of several adapters that of one class of transformers, which they share. Default null. */
  readonly head?: AdapterHubHead | null;
}

/** The files by which a folder counts as an adapter, or as several: one of them. */
export const marks: readonly string[] = [configFile, setupFile, partsFile];

const readPeft = async (files: Files, raw: JsonObject, seen: Seen): Promise<Adapter> => {
  const problems: string[] = [];
  const config = parsePeftConfig(raw, problems);
  if (!config)
    throw new PeftError(
      'bad-adapter',
      `${joinPath(files.name, configFile)}: is not a sound adapter config:${listed(problems)}`,
    );
  const tensors = await readTensors(files, { safe: weightsFile, torch: torchWeightsFile }, seen);
  return { layout: 'peft', config, tensors };
};

const readAdapterHub = async (files: Files, seen: Seen): Promise<Adapter> => {
  const { config, tensors } = await readAdapterHubFolder(files, seen);
  const problems: string[] = [];
  const own = withoutAliases(renamed(tensors, config.name, ownName, problems), problems);
  if (problems.length > 0)
    throw new PeftError('bad-adapter', `${files.name}: has tensors that do not fit:${listed(problems)}`);
  return { layout: 'adapter-hub', config, tensors: own, head: await readHeadBeside(files, seen) };
};

/**
 * Reads an adapter folder as huggingface/peft writes it, `adapter_config.json` and `adapter_model.safetensors`; or as adapter-hub/adapters
 * does, with `adapter.safetensors`, or with a folder for each of several adapters in blocks and `adapter_setup.json`. Where there is no
 * safetensors file, that of `torch.save` is read (see `openTorch`): `adapter_model.bin`, `pytorch_adapter.bin`.
 *
 * While others write the folder, the old adapter is read or the new one, never a mixture; one that was saved by us is checked against its
 * digest.
 *
 * Throws `PeftError`: `file-missing`; `bad-adapter` for the config, and where config and weights were not saved together; `bad-safetensors` or
 * `bad-torch` for the weights; `read-failed`.
 */
export const readAdapter = async (dir: Place): Promise<Adapter> => {
  const files = await filesAt(dir);
  return whole(files, async (seen) => {
    if ((await markOf(files)) !== partsFile) return readOnce(files, seen);
    throw new PeftError('bad-adapter', `${files.name}: holds several adapters, each in a folder; read one of those.`);
  });
};

/**
 * Reads a folder that holds one adapter, as `readAdapter` does, or several of huggingface/peft that act together: a folder each, which that
 * library loads one by one, and `adapter_parts.json`, which lists them in order. Throws what `readAdapter` does.
 */
export const readAdapters = async (dir: Place): Promise<Adapter | readonly NamedAdapter[]> => {
  const files = await filesAt(dir);
  return whole(files, async (seen) =>
    (await markOf(files)) === partsFile ? readParts(files, seen) : readOnce(files, seen),
  );
};

/** The content of files that were saved together, read at one moment. */
const whole = <T>(files: Files, read: (seen: Seen) => Promise<T>): Promise<T> =>
  steady(files, [...marks, digestFile], async () => {
    const seen: Seen = { sums: new Map(), configs: new Map() };
    const digest = await readDigest(files);
    const found = await read(seen);
    if (digest) checkDigest(files, digest, seen);
    return found;
  });

/** The config of a model, which a folder of pyreft has too. */
const modelConfigFile = 'config.json';

/** The mark of a folder; null for none. Throws `bad-adapter` for several. */
const markOf = async (files: Files): Promise<string | null> => {
  const sizes = await Promise.all(marks.map((name) => files.size(name)));
  const found = marks.filter((_, i) => sizes[i] !== null);
  if (found.length > 1)
    throw new PeftError('bad-adapter', `${files.name}: has ${found.join(' and ')}; remove the one that is not wanted.`);
  return found[0] ?? null;
};

/** The remedy for a folder without a mark: those of pyreft are read elsewhere. Whatever is wrong with its config does not count here. */
const withoutMark = async (files: Files): Promise<string> => {
  const config = await readJson(files, modelConfigFile, 'bad-adapter').catch(() => null);
  return isObject(config) && 'intervention_types' in config
    ? 'Its config.json is that of interventions by pyreft; read it with loadPyreft of @peftjs/adapters.'
    : (await files.size(headConfigFile)) !== null
      ? `It holds a head alone (${headConfigFile}); read it with loadHead of @peftjs/core.`
      : 'Check the path or save the adapter again.';
};

const readOnce = async (files: Files, seen: Seen): Promise<Adapter> => {
  const mark = await markOf(files);
  if (mark === setupFile) return { layout: 'adapter-hub', ...(await readAdapterHubSetup(files, seen)) };
  if (!mark)
    throw new PeftError(
      'file-missing',
      `${files.name}: has no ${configFile}, so it is not a whole adapter. ${await withoutMark(files)}`,
    );
  const raw = await readConfig(files, configFile, seen);
  return raw['peft_type'] == null && 'config' in raw ? readAdapterHub(files, seen) : readPeft(files, raw, seen);
};
