import type { Shape } from '@peftjs/tensor';
import {
  headNormLayer,
  layerNormLayer,
  type Norm,
  type NormValues,
  rmsNormLayer,
  rmsNormPlusOneLayer,
} from '../../norm.ts';
import type { RoleRow } from '../../roles.ts';
import type { Path } from '../../sites.ts';
import type { Family, HeadSpec } from '../family.ts';
import { languageHead, lastTokenHead, tokenHead } from '../heads.ts';
import { partsOfTensors } from '../parts-of.ts';
import type { DecoderConfig, DecoderFields } from './config.ts';
import { decoderConfigJson } from './config-json.ts';
import { balanceLoss, expertPieces } from './experts.ts';
import { jsonName } from './field-names.ts';
import { decoderNeeds, sinksOf } from './needs.ts';
import { inOwnWords } from './other-words.ts';
import {
  type DecoderNames,
  type DecoderRecord,
  namesOf,
  rotaryShareField,
  type Traits,
  traitsOf,
  within,
} from './record.ts';
import { decoderTower, positionTableOf, tokenTableOf } from './tower.ts';

const norms: { readonly [N in Traits['norm']]: (values: NormValues, eps: number) => Norm } = {
  rms: rmsNormLayer,
  'rms-plus-one': rmsNormPlusOneLayer,
  layer: layerNormLayer,
};

/** Fields that leave no experts, of a config that has some, and no embedded tokens of another width than the stream. */
const narrowed = ({
  numExperts,
  numLocalExperts,
  wordEmbedProjDim,
}: Partial<DecoderFields>): Partial<DecoderFields> => ({
  ...(wordEmbedProjDim && { wordEmbedProjDim: null }),
  ...(numExperts && { numExperts: 0 }),
  ...(numLocalExperts && { numLocalExperts: 0 }),
});

/** Layers by role. Of outputs that go by several heads no slice is all queries. */
const rolesOf = (names: DecoderNames, { heads, keyValueHeads }: DecoderConfig): readonly RoleRow[] => {
  const { queryKeyValue, gateUp, attn, mlp } = names;
  const of = heads + 2 * keyValueHeads;
  const fused = (role: RoleRow['role'], index: number, count: number): readonly RoleRow[] =>
    queryKeyValue === null || (names.byHead && keyValueHeads > 1)
      ? []
      : [{ role, name: queryKeyValue, share: [index, of, count] }];
  return [
    ...(queryKeyValue === null
      ? (['query', 'key', 'value'] as const).map((role) => ({ role, name: names[role] }))
      : [
          ...fused('query', 0, heads),
          ...fused('key', heads, keyValueHeads),
          ...fused('value', heads + keyValueHeads, keyValueHeads),
        ]),
    { role: 'attn-out', name: `${attn}.${names.attnOut}` },
    ...(gateUp === null
      ? (['gate', 'up'] as const).map((role) => ({ role, name: names[role] }))
      : (['gate', 'up'] as const).map((role, i) => ({ role, name: gateUp, share: [i, 2] as const }))),
    { role: 'down', name: within(mlp, names.down) },
    { role: 'down', name: `shared_expert.${names.down}` },
    { role: 'router', name: within(mlp, names.router) },
    { role: 'head', name: names.head },
    { role: 'head', name: 'classifier' },
    { role: 'head', name: 'qa_outputs' },
  ];
};

/** Names of the same tensors in files of two classes, which hold them in modules of unlike names. */
const sameIn = (one: string, other: string): readonly (readonly [part: RegExp, instead: string])[] => [
  [new RegExp(`^${one}\\.`), `${other}.`],
  [new RegExp(`^${other}\\.`), `${one}.`],
];

/** The norms of queries or keys that a file holds one by one, of heads that follow one another here: `q_layernorm.norms.0.weight`, … */
const headPieces = (
  list: string,
  name: string,
  [width = 0]: Shape,
  headDim: number,
  most: number,
): readonly (readonly [name: string, shape: Shape])[] | null => {
  const heads = width / headDim;
  if (heads > most) return null;
  const path = name.slice(0, name.lastIndexOf('.'));
  return Array.from({ length: heads }, (_, head) => [`${path}.${list}.${head}.weight`, [headDim]] as const);
};

/**
 * The family of a record: decoders with rotary positions, grouped key/value heads and a gated MLP. Paths are Hugging Face's module paths; the
 * weights become variables named as its tensors, read when first used. With tied embeddings `lm_head` is a layer over the embedding's variable.
 */
export const decoder = (record: DecoderRecord): Family<DecoderConfig> => {
  const names = namesOf(record);
  const module = names.root.split('.')[0]!;
  const ofExperts = record.expertFiles && expertPieces(record.expertFiles);
  const isQueryKeyNorm = (path: Path): boolean =>
    [names.queryNorm, names.keyNorm].some((name) => path.endsWith(`.${names.attn}.${name}`));
  /** A head that reads rows as wide as embedded tokens are. */
  const reading = (head: HeadSpec<DecoderConfig>): HeadSpec<DecoderConfig> => ({
    ...head,
    needs: (config, outputs) => head.needs({ ...config, hiddenSize: traitsOf(record, config).tokenWidth }, outputs),
  });
  return {
    modelType: record.modelType,
    parser: async () => {
      const { parseDecoder } = await import('./config.ts');
      return (json, problems) => parseDecoder(record, json, problems);
    },
    reads: [
      ...Object.keys(record.fields ?? {}).map(jsonName),
      ...(record.words?.names ?? []),
      ...(rotaryShareField(record) ? [rotaryShareField(record)!] : []),
    ],
    configJson: (config) => {
      const json = inOwnWords(record, decoderConfigJson(config, record));
      return record.words?.write?.(json, config) ?? json;
    },
    explicit: (config) => {
      // Of these the traits are made.
      const { fields: _, attentionBias: _a, mlpBias: _m, rotaryShare: _r, ropeScaling, ...rest } = config;
      const traits = traitsOf(record, config);
      const layers = Array.from({ length: config.layers }, (_, i) => i);
      // LongRoPE's factor is what its scale was made of.
      const scaling = ropeScaling?.kind === 'longrope' ? { ...ropeScaling, factor: null } : ropeScaling;
      const [rotates, window] = [layers.map(traits.rotates), layers.map(traits.window)];
      return { ...rest, ...traits, ropeScaling: scaling, rotates, window };
    },
    needs: (config) => decoderNeeds(config, traitsOf(record, config), namesOf(record, config)),
    towers: (config) => [decoderTower(config, traitsOf(record, config), namesOf(record, config))],
    parts: (config, tensors) => {
      const own = namesOf(record, config);
      const tokenTable = tokenTableOf(own);
      const { norm: kind, sinks, queryKeyNorms } = traitsOf(record, config);
      const isOfHeads = (path: Path): boolean => queryKeyNorms === 'each-head' && isQueryKeyNorm(path);
      const attns = Array.from({ length: sinks ? config.layers : 0 }, (_, i) =>
        [own.root, own.blocks, i, own.attn].join('.'),
      );
      return partsOfTensors(tensors, {
        embeddings: [tokenTable, positionTableOf(own), ...attns.map(sinksOf)],
        isNorm: (path) => /(norm|\.ln_\w+)$/.test(path),
        norm: (values, path) =>
          isOfHeads(path) ? headNormLayer(values, config.normEps, config.headDim) : norms[kind](values, config.normEps),
        tied: config.tieWordEmbeddings ? [names.head, tokenTable] : null,
      });
    },
    layout: {
      ignored: record.ignored ?? /\.rotary_emb\.inv_freq$/,
      prefix: `${module}.`,
      ...(record.answers && record.answers !== names.root && { aliases: sameIn(module, record.answers) }),
      ...(record.transposed && { transposed: record.transposed }),
      names: [...(record.expertFiles?.names ?? []), [/\.sinks\.weight$/, '.sinks']],
      shapes: (name, shape, config) => {
        if (name.endsWith('.sinks.weight')) return [shape[1]!];
        const { headDim } = config as DecoderConfig;
        const isOfHeads = isQueryKeyNorm(name.replace(/\.weight$/, ''));
        const { queryKeyNorms } = traitsOf(record, config as DecoderConfig);
        return isOfHeads && queryKeyNorms === 'each-head' ? [shape[0]! / headDim, headDim] : shape;
      },
      pieces: (name, shape, config, most) =>
        record.headNorms !== undefined && isQueryKeyNorm(name.replace(/\.weight$/, ''))
          ? headPieces(record.headNorms, name, shape, (config as DecoderConfig).headDim, most)
          : (ofExperts?.(name, shape, most) ?? null),
    },
    roles: (config) => rolesOf(names, config),
    // So is it called in all of them that have one, before the MLP or after the attention.
    defaultTargets: { normAfterAttention: ['post_attention_layernorm'], ...record.targets },
    heads: {
      causalLM: {
        ...reading(
          languageHead<DecoderConfig>(
            `${record.stem}ForCausalLM`,
            (config) => {
              const { logitScale, logitCap, headBias } = traitsOf(record, config);
              return { scale: logitScale, cap: logitCap, bias: headBias };
            },
            names.head,
          ),
        ),
        term: (states, inputs, config) => {
          const { experts } = traitsOf(record, config);
          return experts && balanceLoss(experts, states, inputs);
        },
      },
      ...(record.classifies !== false && {
        sequenceClassifier: reading(lastTokenHead(`${record.classifierStem ?? record.stem}ForSequenceClassification`)),
      }),
      ...(record.tags && {
        tokenClassifier: reading(tokenHead(`${record.stem}ForTokenClassification`, record.tags)),
      }),
      ...(record.answers && {
        questionAnswering: {
          ...reading(tokenHead(`${record.stem}ForQuestionAnswering`, 'qa_outputs')),
          ...(record.answers !== names.root && { towersOf: (config) => ({ ...config, root: record.answers }) }),
        },
      }),
    },
    narrow: (config, reduction, layers) => {
      const part = (size: number): number => Math.max(1, Math.round(size / reduction));
      return {
        ...config,
        layers,
        intermediateSize: part(config.intermediateSize),
        vocabSize: 1,
        tieWordEmbeddings: true,
        hiddenSize: part(config.hiddenSize),
        // Rotary positions turn pairs.
        headDim: 2 * part(config.headDim / 2),
        // So few may be left that a share of them is none.
        ...(config.rotaryShare !== undefined && reduction !== 1 && { rotaryShare: 1 }),
        // Its blocks have a narrow MLP in place of experts.
        ...(config.fields && { fields: { ...config.fields, ...narrowed(config.fields) } }),
      };
    },
  };
};
