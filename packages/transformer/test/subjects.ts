import type { ModelConfig } from '../src/index.ts';

import { buildModel, type CausalLM, type SiteName, type WeightSource } from '../src/index.ts';
import type { Extras, Row, Weights } from './naive.ts';
import { naiveGpt2 } from './naive-gpt2.ts';
import { naiveLlama } from './naive-llama.ts';
import { tinyConfig, tinyGpt2Config, tinyWeights } from './tiny.ts';

/** What every architecture's config has. */
export type Changes = Partial<Pick<ModelConfig, 'layers' | 'maxPositions' | 'tieWordEmbeddings' | 'eosIds' | 'padId'>>;

/** A tiny model of one architecture, and the same in plain loops. */
export interface Subject {
  readonly config: ModelConfig;
  readonly model: CausalLM;
  /** The values that the model was given. */
  readonly weights: WeightSource & { readonly values: ReadonlyMap<string, Float32Array> };
  /** Another model of the same config. */
  build(weights: WeightSource): CausalLM;
  /** Logits of every token in plain loops; `values` may differ from the model's. */
  naive(ids: readonly number[], extras?: Extras, values?: Weights): Row[];
}

const subject = <C extends ModelConfig>(
  config: C,
  naive: (config: C, values: Weights, ids: readonly number[], extras?: Extras) => Row[],
  seed: number,
): Subject => {
  const weights = tinyWeights(seed);
  return {
    config,
    weights,
    model: buildModel(config, weights),
    build: (others) => buildModel(config, others),
    naive: (ids, extras, values = weights.values) => naive(config, values, ids, extras),
  };
};

/** Makes the tiny model of an architecture. */
export type MakeSubject = (changes?: Changes, seed?: number) => Subject;

/** The architectures that every law is checked on. */
export const subjects: readonly (readonly [name: string, make: MakeSubject])[] = [
  [
    'llama',
    (changes, seed = 0) => subject(tinyConfig({ attentionBias: true, mlpBias: true, ...changes }), naiveLlama, seed),
  ],
  ['gpt2', (changes, seed = 0) => subject(tinyGpt2Config(changes), naiveGpt2, seed)],
];

/** Those that a decoder has, in the order of a forward pass. */
export const siteNames: readonly Exclude<SiteName, 'model'>[] = [
  'embed',
  'block',
  'attn',
  'heads',
  'mlp',
  'norm',
  'kv',
  'head',
];
