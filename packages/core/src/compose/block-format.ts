import { isObject, type JsonObject, type JsonValue } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import type { AdapterConfig, Method, MethodFormat } from '../method.ts';
import { makeBlock, problemsOf } from './block.ts';
import { isBlockConfig } from './block-config.ts';
import { frozen } from './frozen.ts';
import { hubProblems, isHubConfig, kindOf, partKind, singlesOf, sumOf } from './hub.ts';
import { type Block, type BlockKind, kinds, type Settings } from './kinds.ts';

/** A block's parts out of a list of configurations with names. Throws `bad-adapter`. */
const partsIn = (
  list: unknown,
  field: string,
  build: (config: AdapterConfig) => Method,
): [name: string, method: Method][] => {
  if (!Array.isArray(list) || list.length === 0 || !list.every((p) => isObject(p) && typeof p['name'] === 'string'))
    throw new PeftError('bad-adapter', 'adapter_config.json of a block must list its parts, each with a name');
  return (list as readonly JsonObject[]).map((part) => [String(part['name']), build(part[field] as AdapterConfig)]);
};

/** A block as a file says it. Throws `bad-adapter` with all that is wrong. */
const soundBlock = (block: Block): Method => {
  const problems = problemsOf(block);
  if (problems.length > 0)
    throw new PeftError('bad-adapter', `adapter_config.json: ${block.kind}: ${problems.join('; ')}`);
  return makeBlock(block);
};

/** The block of a configuration of ours. Throws `bad-adapter`. */
const blockFrom = (config: AdapterConfig, build: (config: AdapterConfig) => Method): Method => {
  const kind = config['block'] as BlockKind;
  if (typeof kind !== 'string' || !Object.hasOwn(kinds, kind))
    throw new PeftError(
      'bad-adapter',
      `adapter_config.json: ${JSON.stringify(kind)} is no block; there are ${Object.keys(kinds).join(', ')}`,
    );
  const settings = Object.fromEntries(
    kinds[kind].has.flatMap((field) => (config[field] == null ? [] : [[field, config[field]]])),
  ) as Settings;
  return soundBlock({ kind, parts: partsIn(config['parts'], 'method', build), settings });
};

const numbersIn = (kwargs: JsonObject, field: string, parts: number): number[] => {
  const value: JsonValue = kwargs[field] ?? null;
  const list = typeof value === 'number' ? Array.from({ length: parts }, () => value) : value;
  if (Array.isArray(list) && list.every((n) => typeof n === 'number' && Number.isFinite(n))) return list as number[];
  throw new PeftError(
    'bad-adapter',
    `adapter_setup.json: ${field} must be a list of numbers, got ${JSON.stringify(value)}`,
  );
};

/** Settings as the library reads them: it brings the weights of an average to the sum 1, and divides by the number of parts. */
const settingsIn = (
  kind: BlockKind,
  kwargs: JsonObject,
  singles: readonly AdapterConfig[],
  parts: number,
): Settings => {
  if (kind === 'split') return { lengths: numbersIn(kwargs, 'splits', parts) };
  if (kind === 'batchSplit') return { sizes: numbersIn(kwargs, 'batch_sizes', parts) };
  if (kind !== 'average') return {};
  const given = numbersIn(kwargs, 'weights', parts);
  const weights = given.map((w) => w / sumOf(given) / parts);
  return { weights, base: singles.every((c) => partKind(c) === 'lora') ? 1 - sumOf(weights) : 0 };
};

/** The block of such a configuration. Throws `bad-adapter` where the library computes something that is not computed here. */
const hubFrom = (config: AdapterConfig, build: (config: AdapterConfig) => Method): Method => {
  const kind = kindOf(config);
  if (!kind)
    throw new PeftError(
      'bad-adapter',
      `adapter_setup.json: ${JSON.stringify(config['type'])} is no block that is known here`,
    );
  const parts = partsIn(config['children'], 'config', build);
  const configs = (config['children'] as readonly JsonObject[]).map((child) => child['config'] as AdapterConfig);
  const kwargs = isObject(config['kwargs']) ? (config['kwargs'] as JsonObject) : {};
  const settings = {
    ...settingsIn(kind, kwargs, configs.flatMap(singlesOf), parts.length),
    layout: 'adapter-hub',
  } as const;
  const problems = hubProblems(
    kind,
    settings,
    configs,
    parts.map(([name]) => name),
  );
  if (problems.length > 0)
    throw new PeftError(
      'bad-adapter',
      `adapter_setup.json: the adapters library computes something else of this setup than is computed here: ${problems.join('; ')}`,
    );
  return soundBlock({ kind, parts, settings });
};

/** The files of blocks, ours and setups of adapter-hub/adapters, and of what is frozen in them: read on demand. */
export const outerFormats: readonly Pick<MethodFormat, 'reads' | 'fromConfig'>[] = [
  {
    reads: (config) => isBlockConfig(config) || isHubConfig(config),
    fromConfig: (config, build) => (isHubConfig(config) ? hubFrom(config, build) : blockFrom(config, build)),
  },
  frozen,
];
