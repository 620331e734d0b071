import { add, constant, mul, reshape, select, sub, type Tensor } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import type { AttendOptions, Forward } from '../../forward.ts';
import { joinHeads, splitHeads } from '../../heads.ts';
import { rmsNormLayer } from '../../norm.ts';
import type { KeyValue, Path } from '../../sites.ts';
import type { TowerSpec } from '../../tower-spec.ts';
import { answerHead, endHead, rowsAtEnds, withDecoderIds } from '../decoder-inputs.ts';
import type { Family, HeadSpec } from '../family.ts';
import { languageHead, tokenHead } from '../heads.ts';
import { partsOfTensors } from '../parts-of.ts';
import { relativeBias } from '../relative-bias.ts';
import type { T5Config } from './config.ts';
import { t5ConfigJson } from './config-json.ts';
import { t5Needs } from './needs.ts';
import { biasTable, blocksOf, isBiasTable, pathIn, type Stack, stacksOf, tokenTable } from './paths.ts';
import type { T5Record } from './record.ts';

const unscaled = 1;

const scalar = (value: number): Tensor => constant(Int32Array.of(value), []);

const selfAttention =
  (path: Path, { headDim }: T5Config, bias: AttendOptions['bias'] & {}, { linear, attend }: Forward) =>
  (x: Tensor): Tensor => {
    const heads = (name: string): Tensor => splitHeads(linear(`${path}.${name}`, x), headDim);
    const own = { k: heads('k'), v: heads('v') };
    return linear(`${path}.o`, joinHeads(attend(path, heads('q'), own, { scale: unscaled, bias })));
  };

/** Attention of the decoder over all rows of the encoder. */
const crossAttention =
  (path: Path, { headDim }: T5Config, { linear, attendTo }: Forward) =>
  (x: Tensor): Tensor => {
    const heads = (name: string, of: Tensor, layer = linear): Tensor =>
      splitHeads(layer(`${path}.${name}`, of), headDim);
    const made = (rows: Tensor, layer: Forward['linear']): KeyValue => ({
      k: heads('k', rows, layer),
      v: heads('v', rows, layer),
    });
    return linear(`${path}.o`, joinHeads(attendTo('encoder', path, heads('q', x), made, { scale: unscaled })));
  };

const feedForward =
  (path: Path, { gated, activation }: T5Config, { linear }: Forward) =>
  (x: Tensor): Tensor => {
    const act = (name: string): Tensor => activations[activation](linear(`${path}.${name}`, x));
    return linear(`${path}.wo`, gated ? mul(act('wi_0'), linear(`${path}.wi_1`, x)) : act('wi'));
  };

const tower = (record: T5Record, config: T5Config, stack: Stack): TowerSpec => {
  const { hiddenSize, heads, headDim } = config;
  const blocks = blocksOf(config, stack);
  const both = stack === 'encoder';
  const crosses = blocks.flatMap(({ cross }) => cross ?? []);
  const attns = blocks.map(({ attn }) => attn);
  const lastNorm = pathIn(config, `${stack}.final_layer_norm`);
  return {
    name: stack,
    attends: both ? 'all' : 'before',
    tokenTable: tokenTable(config),
    hiddenSize,
    heads,
    keyHeads: heads,
    headDim,
    maxPositions: Number.POSITIVE_INFINITY,
    reads: both ? { ids: 'ids', mask: 'mask' } : { ids: 'decoderIds', mask: 'decoderMask' },
    paths: {
      embed: [pathIn(config, `${stack}.embed_tokens`)],
      block: blocks.map(({ block }) => block),
      attn: attns,
      cross: crosses,
      mlp: blocks.map(({ mlp }) => mlp),
      norm: [...blocks.flatMap(({ norms }) => norms), lastNorm],
      heads: attns,
      kv: attns,
      crossKv: crosses,
      head: [both ? pathIn(config, 'encoder') : 'lm_head'],
    },
    positionTable: null,
    layers: (forward) => {
      const made = new Map<string, Tensor>();
      const { positionShift, present } = forward.moved;
      const biasBy =
        (table: Path): AttendOptions['bias'] & {} =>
        (queries, keys, _, first, __, added) => {
          const sizes = `${table} ${queries} ${keys} ${added}`;
          const from = (row: Tensor | null): Tensor =>
            relativeBias(forward.weights(table), config, both, queries, keys, row);
          const biasOf = (): Tensor => {
            if (added === 0 || added === positionShift) return from(first);
            // Queries stand where their positions say, keys where they lie: those in front that move no position bring the others nearer.
            const moved = from(sub(first ?? scalar(keys - queries), scalar(added - positionShift)));
            return present ? select(reshape(present, [-1, 1, 1, 1]), moved, from(first)) : moved;
          };
          return made.get(sizes) ?? made.set(sizes, biasOf()).get(sizes)!;
        };
      return (x, layer) => {
        const { attn, cross, mlp, norms } = blocks[layer]!;
        const part = (site: 'attn' | 'cross' | 'mlp', path: Path, core: (h: Tensor) => Tensor, norm: Path, h: Tensor) =>
          add(h, forward.at(site, path, core, h)(forward.norm(norm, h)));
        const bias = biasBy(biasTable(record, blocks, layer));
        const own = part('attn', attn, selfAttention(attn, config, bias, forward), norms[0]!, x);
        const h = cross ? part('cross', cross, crossAttention(cross, config, forward), norms[1]!, own) : own;
        return part('mlp', mlp, feedForward(mlp, config, forward), norms.at(-1)!, h);
      };
    },
    finish: (forward, x) => forward.norm(lastNorm, x),
  };
};

/** The decoder's states, divided by √d where the head's config says so. */
const scaledStates: HeadSpec<T5Config>['features'] = (_, { main }, __, { scaledHead, hiddenSize }) =>
  scaledHead ? mul(main, hiddenSize ** -0.5) : main;

const headOf = (stem: string): HeadSpec<T5Config> => ({
  ...languageHead(`${stem}ForConditionalGeneration`),
  features: scaledStates,
});

/** The towers as the classes that tell classes have them: in a module of their own. */
const standing =
  (stacks: readonly Stack[]) =>
  (config: T5Config): T5Config => ({ ...config, stands: { within: 'transformer.', stacks } });

/**
 * The family of a record. Inputs: `ids` and `mask` of the encoder, `decoderIds` and `decoderMask` of the decoder, which a caller shifts: they begin
 * with the config's `decoderStartId`; for answers and classes they are made of `ids` where they are missing. Classes of tokens are
 * told by the encoder alone. Paths are Hugging Face's module paths. Dropout of the base is off, as in every family.
 */
const t5Family = (record: T5Record): Family<T5Config> => ({
  modelType: record.modelType,
  parser: async () => {
    const { parseT5 } = await import('./config.ts');
    return (json, problems) => parseT5(record, json, problems);
  },
  configJson: t5ConfigJson,
  // Since its version 5 transformers says of every T5 that its head is tied, and finds by the file that it is not.
  settle: (config, has) => {
    const tieWordEmbeddings = config.tieWordEmbeddings && !has('lm_head.weight');
    return {
      ...config,
      tieWordEmbeddings,
      scaledHead: record.scaledHead === 'tied' ? tieWordEmbeddings : config.scaledHead,
    };
  },
  needs: (config) => t5Needs(record, config),
  towers: (config) =>
    stacksOf(config).map((stack) => tower(record, config, stack)) as unknown as readonly [TowerSpec, ...TowerSpec[]],
  parts: (config, tensors) =>
    partsOfTensors(tensors, {
      embeddings: [
        tokenTable(config),
        ...[...tensors.keys()].filter(isBiasTable).map((name) => name.replace(/\.weight$/, '')),
      ],
      isNorm: (path) => path.endsWith('layer_norm'),
      norm: (values) => rmsNormLayer(values, config.normEps),
      tied: config.tieWordEmbeddings ? ['lm_head', tokenTable(config)] : null,
    }),
  layout: {
    ignored:
      /^(transformer\.)?(encoder|decoder)\.embed_tokens\.weight$|EncDecAttention\.relative_attention_bias\.weight$/,
    prefix: 'transformer.',
    aliases: [
      [/^(transformer\.)?shared\./, '$1encoder.embed_tokens.'],
      [/^(?=(shared|encoder|decoder)\.)/, 'transformer.'],
    ],
  },
  roles: [
    { role: 'query', name: 'q' },
    { role: 'key', name: 'k' },
    { role: 'value', name: 'v' },
    { role: 'attn-out', name: 'o' },
    { role: 'gate', name: 'wi_0' },
    { role: 'up', name: 'wi_1' },
    { role: 'up', name: 'wi' },
    { role: 'down', name: 'wo' },
    { role: 'head', name: 'lm_head' },
    { role: 'head', name: 'qa_outputs' },
    { role: 'head', name: 'classification_head.out_proj' },
    { role: 'head', name: 'classifier' },
  ],
  defaultTargets: {
    lora: ['q', 'v'],
    normAfterAttention: ['layer.1.layer_norm'],
    beft: ['v'],
    adapterHubPrefix: [''],
    // T5's sublayers are such modules themselves.
    ...(record.stacks && { adapterHubProjections: ['q', 'k', 'v'], adapterHubModules: ['', ''] }),
    ...record.targets,
  },
  heads: {
    seq2seqLM: headOf(record.stem),
    questionAnswering: answerHead(`${record.stem}ForQuestionAnswering`, 'start'),
    sequenceClassifier: {
      ...endHead(`${record.stem}ForSequenceClassification`, 'start'),
      towersOf: standing(['encoder', 'decoder']),
    },
    tokenClassifier: {
      ...tokenHead(`${record.stem}ForTokenClassification`, 'classifier'),
      towersOf: standing(['encoder']),
    },
  },
  ...(record.stacks && {
    stacked: {
      modelClass: `${record.stem}AdapterModel`,
      tasks: ['sequenceClassifier', 'questionAnswering'],
      towersOf: standing(['encoder', 'decoder']),
      makes: ['decoderIds'],
      inputs: withDecoderIds('start'),
      // Whole texts are read before the states are divided, answers after.
      row: (_, { main }, { ids }, config) => rowsAtEnds(main, ids!, config),
      tokens: scaledStates,
      pooler: 'unread',
    },
  }),
  narrow: (config, reduction, layers) => {
    const part = (size: number): number => Math.max(1, Math.round(size / reduction));
    return {
      ...config,
      layers,
      encoderLayers: layers,
      intermediateSize: part(config.intermediateSize),
      vocabSize: 1,
      tieWordEmbeddings: true,
      hiddenSize: part(config.hiddenSize),
      headDim: part(config.headDim),
    };
  },
});

/**
 * T5 encoder-decoders, versions 1.0 and 1.1 (FLAN): RMSNorm before each part, attention without a scale, a bias of relative positions from one
 * table for all blocks of a stack, an MLP of ReLU or gated GELU. Raffel et al., 2019. https://arxiv.org/abs/1910.10683
 */
export const t5: Family<T5Config> = t5Family({
  modelType: 't5',
  stem: 'T5',
  stacks: true,
  scaledHead: 'stated',
  biases: 'first',
  defaults: {},
  targets: {
    vblora: ['q', 'k', 'v', 'o', 'wi', 'wo'],
    ia3: ['k', 'v', 'wo'],
    ia3Feedforward: ['wo'],
  },
});

/** The sizes of the smallest T5 of many languages. */
const largeVocabulary: T5Record['defaults'] = {
  vocab_size: 250_112,
  d_ff: 1024,
  num_layers: 8,
  num_heads: 6,
  feed_forward_proj: 'gated-gelu',
  decoder_start_token_id: 0,
};

/**
 * mT5: a T5 1.1 of many languages, whose head is never scaled. Xue et al., 2020. https://arxiv.org/abs/2010.11934; transformers,
 * `modeling_mt5.py`.
 */
export const mt5: Family<T5Config> = t5Family({
  modelType: 'mt5',
  stem: 'MT5',
  scaledHead: 'never',
  biases: 'first',
  defaults: largeVocabulary,
  targets: {
    vblora: ['q', 'k', 'v', 'o', 'wi_0', 'wi_1', 'wo'],
    ia3: ['k', 'v', 'wi_1'],
    ia3Feedforward: [],
  },
});

/**
 * umT5: an mT5 with a table of relative positions in every layer. PEFT has no default targets for it. A head of its own is not scaled, as by t5x, which trained it, and by transformers up to its version
 * 4; version 5 takes every head for tied, and so divides the states of all. Chung et al., 2023 (UniMax). https://arxiv.org/abs/2304.09151; transformers, `modeling_umt5.py`.
 */
export const umt5: Family<T5Config> = t5Family({
  modelType: 'umt5',
  stem: 'UMT5',
  scaledHead: 'tied',
  biases: 'all',
  defaults: largeVocabulary,
  targets: {},
});
