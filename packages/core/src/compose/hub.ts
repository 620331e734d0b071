import type { JsonObject } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import type { AdapterConfig } from '../method.ts';
import type { Block, BlockKind, Settings } from './kinds.ts';

/** The `architecture` that a block of adapter-hub/adapters has here, where that library has a setup of folders. */
const architecture = 'block';

/** Its names of the blocks, and of what they were given. */
const types: { readonly [K in Exclude<BlockKind, 'fuse'>]: string } = {
  stack: 'Stack',
  average: 'Average',
  split: 'Split',
  batchSplit: 'BatchSplit',
  parallel: 'Parallel',
  multiTask: 'MultiTask',
};

/** The kinds of parts: single methods by the module that composes them there, and blocks. */
type PartKind = 'bottleneck' | 'invertible' | 'lora' | 'prefix' | 'fuse' | 'other' | keyof typeof types;

/** The kind of a part by its configuration. */
export const partKind = (config: AdapterConfig): PartKind => {
  if (config['architecture'] === architecture) return kindOf(config) ?? 'other';
  switch (config['architecture'] ?? null) {
    case null:
      return config['inv_adapter'] ? 'invertible' : 'bottleneck';
    case 'lora':
      return 'lora';
    case 'prefix_tuning':
      return 'prefix';
    case 'fuse':
      return 'fuse';
    default:
      return 'other';
  }
};

/** The kind of a block's configuration; null for one that is not known here. */
export const kindOf = (config: AdapterConfig): keyof typeof types | null =>
  (Object.keys(types) as (keyof typeof types)[]).find((kind) => types[kind] === config['type']) ?? null;

/** The blocks that may stand in a block: `ALLOWED_NESTINGS` of `adapters.composition`. */
const nestings: { readonly [K in keyof typeof types]: readonly PartKind[] } = {
  stack: ['fuse', 'split', 'parallel', 'batchSplit', 'average', 'multiTask'],
  split: ['split', 'stack', 'batchSplit', 'average'],
  parallel: ['stack', 'batchSplit', 'average'],
  multiTask: ['stack', 'average', 'fuse'],
  batchSplit: ['stack', 'split', 'batchSplit', 'average'],
  average: ['stack', 'split', 'batchSplit'],
};

/**
 * The blocks in which the library's module of a method computes what is computed here. Its `Stack` of LoRA gives the second what the first
 * adds as input; its `Average`, `Split` and `MultiTask` know no prefixes; its ReFT is the first one's alone.
 */
const takers: { readonly [P in 'bottleneck' | 'invertible' | 'lora' | 'prefix']: readonly BlockKind[] } = {
  bottleneck: ['stack', 'average', 'split', 'batchSplit', 'parallel'],
  invertible: ['stack'],
  lora: ['average', 'batchSplit', 'parallel', 'multiTask'],
  prefix: ['batchSplit', 'parallel'],
};

/** The configurations of single adapters in one. */
export const singlesOf = (config: AdapterConfig): readonly AdapterConfig[] => {
  if (config['architecture'] === 'fuse')
    return ((config['adapters'] ?? []) as readonly JsonObject[]).map((a) => a['config'] as AdapterConfig);
  if (config['architecture'] !== architecture) return [config];
  return (config['children'] as readonly JsonObject[]).flatMap((child) => singlesOf(child['config'] as AdapterConfig));
};

/** Fields by which the library's block takes the first part's word, or the last's, for all of them. */
const places = [
  'is_parallel',
  'original_ln_before',
  'original_ln_after',
  'residual_before_ln',
  'mh_adapter',
  'output_adapter',
  'leave_out',
] as const;

const placeOf = (config: AdapterConfig): string => JSON.stringify(places.map((field) => config[field] ?? null));

/** The sum of numbers. */
export const sumOf = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

const near = (a: number, b: number): boolean => Math.abs(a - b) < 1e-6;

/** Of an average: the library weighs by weights that sum to 1, divides by the number of parts once more, and knows no factor of the base. */
const averageProblems = ({ weights = [], base = 0 }: Settings, singles: readonly PartKind[]): string[] => {
  const sum = sumOf(weights);
  const rest = singles.every((kind) => kind === 'lora') ? 1 - sum : 0;
  return near(sum * weights.length, 1) && near(base, rest)
    ? []
    : [
        `its Average divides a sum whose weights are 1 together by the number of parts once more, so that ${weights.length} parts weigh 1/${weights.length} together and a bottleneck's own base as much; here they weigh ${sum}`,
      ];
};

/** Whether a block among parts has bottleneck adapters that read y + h: each block around them adds h there. */
const nestsSums = (configs: readonly AdapterConfig[]): boolean =>
  configs.some(
    (config) =>
      config['architecture'] === architecture &&
      singlesOf(config).some(({ original_ln_before: reads }) => reads === true),
  );

/** Whether blocks stand deeper than the library takes them: in a block of blocks a stack of single adapters alone, and none in a stack of it. */
const isTooDeep = (kind: BlockKind | null, configs: readonly AdapterConfig[], level: number): boolean =>
  configs.some((config) => {
    if (config['architecture'] === 'fuse') return level > 1;
    if (config['architecture'] !== architecture) return false;
    const own = kindOf(config);
    const children = (config['children'] as readonly JsonObject[]).map((child) => child['config'] as AdapterConfig);
    return level > 2 || (level > 1 && (own !== 'stack' || kind === 'stack')) || isTooDeep(own, children, level + 1);
  });

/** Why the library does not compute the same of a setup; none where it does. */
export const hubProblems = (
  kind: keyof typeof types,
  settings: Settings,
  configs: readonly AdapterConfig[],
  names: readonly string[],
): string[] => {
  const singles = configs.flatMap(singlesOf);
  const kindsOf = singles.map(partKind);
  const alone = (config: AdapterConfig): boolean => ['bottleneck', 'lora', 'prefix'].includes(partKind(config));
  const nested = configs.flatMap((config, i) => {
    const part = partKind(config);
    if (part === 'invertible' && kind === 'stack' && i === 0) return [];
    return alone(config) || nestings[kind].includes(part)
      ? []
      : [`its ${types[kind]} takes no ${names[i]}, of the kind ${part}`];
  });
  const untaken = singles.flatMap((config) => {
    const part = partKind(config);
    return part in takers && takers[part as keyof typeof takers].includes(kind)
      ? []
      : [`its ${types[kind]} computes something else of ${part}, or nothing`];
  });
  const bottlenecks = singles.filter((config) => ['bottleneck', 'invertible'].includes(partKind(config)));
  const unlike = new Set(bottlenecks.map(placeOf)).size > 1;
  const odd = bottlenecks.some((c) => c['is_parallel'] === true || c['original_ln_after'] === false);
  return [
    ...new Set([
      ...nested,
      ...untaken,
      ...(new Set(kindsOf.map((k) => (k === 'invertible' ? 'bottleneck' : k))).size > 1
        ? ['adapters of several kinds stand in other places there']
        : []),
      ...(unlike ? ['it takes where adapters read and what they are added to from one of them for all'] : []),
      ...(odd && configs.length > 1
        ? ['adapters beside a sublayer, or without a sum after them, are not stacked or mixed']
        : []),
      ...(kind !== 'stack' && nestsSums(configs)
        ? ['its blocks in such a block add the stream twice where an adapter reads the sum with it']
        : []),
      ...(isTooDeep(kind, configs, 1) ? ['its blocks nest less deep'] : []),
      ...(kind === 'average' ? averageProblems(settings, kindsOf) : []),
    ]),
  ];
};

const kwargsOf = ({ kind, settings, parts }: Block): JsonObject => {
  if (kind === 'average') return { weights: settings.weights!.map((w) => w * parts.length) };
  if (kind === 'split') return { splits: [...settings.lengths!] };
  return kind === 'batchSplit' ? { batch_sizes: [...settings.sizes!] } : {};
};

/** The configuration of a block in the layout of adapter-hub/adapters. Throws `bad-adapter` where the library computes something else. */
export const hubConfig = (block: Block, configs: readonly AdapterConfig[]): AdapterConfig => {
  const { kind, parts, settings } = block;
  const names = parts.map(([name]) => name);
  const problems =
    kind === 'fuse'
      ? ['its Fuse is of bottleneck adapters; adapterFusion has its files']
      : hubProblems(kind, settings, configs, names);
  if (problems.length > 0)
    throw new PeftError(
      'bad-adapter',
      `${kind}: the adapters library cannot say it: ${problems.join('; ')}; leave out layout, so that it has files of our own`,
    );
  const children = names.map((name, i) => ({ name, config: configs[i]! }));
  return { architecture, type: types[kind as keyof typeof types], kwargs: kwargsOf(block), children };
};

/** Whether a configuration is that of a setup of adapter-hub/adapters with blocks. */
export const isHubConfig = (config: AdapterConfig): boolean =>
  config.peft_type === undefined && config['architecture'] === architecture;
