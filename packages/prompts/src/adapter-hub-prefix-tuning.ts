import {
  type Chosen,
  count,
  defineMethod,
  flag,
  type Gate,
  layerNumbers,
  layersKept,
  type MethodFactory,
  meanGate,
  mergePatches,
  normal,
  type Patch,
  rate,
  type Scope,
} from '@peftjs/core';
import { PeftError, reshape, slice, type Tensor, tanh } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import { affineOf } from './encoder.ts';
import {
  type Attentions,
  attentionsAt,
  type Gates,
  ownAttentions,
  prefixInFront,
  prefixWidth,
  readsEncoder,
} from './prefix.ts';

/** Options of `adapterHubPrefixTuning`. */
export interface AdapterHubPrefixTuningOptions {
  /** Rows m in front of every layer's keys and values. Default 30. */
  readonly length?: number;
  /** Width of the MLP that computes the rows of all layers. Default 512. */
  readonly bottleneck?: number;
  /** Whether the rows themselves are trained, from N(0, 1), without an MLP. Default false. */
  readonly flat?: boolean;
  /** Probability that a value of the prefix is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Whether each layer weighs its prefix by a gate over the sequence that attends to it, see `meanGate`: a part of UniPELT. Default false. */
  readonly gating?: boolean;
  /** Whether keys and values have the same gate, of those that gate. Default true. */
  readonly sharedGating?: boolean;
  /** Numbers of layers that have no prefix; not in a T5. Default: none. */
  readonly leaveOut?: readonly number[];
  /** In an encoder-decoder: whether the encoder has a prefix too. Default true. */
  readonly encoderPrefix?: boolean;
  /** In an encoder-decoder: whether the attention to the encoder has one. Default true. */
  readonly crossPrefix?: boolean;
}

/** The module that holds the prefixes of all layers. */
const poolOf = ({ paths }: Model): string => {
  const [within] = paths('kv')[0]!.split('.') as [string];
  return /^(encoder|decoder)$/.test(within) ? 'prefix_tuning' : `${within}.prefix_tuning`;
};

/** The name of the MLP of a model of one tower: a T5 whose encoder stands alone keeps that of an encoder beside a decoder. */
const onlyGroup = ({ main, layout }: Model): string =>
  main.name === 'encoder' && layout.defaultTarget('adapterHubPrefix')?.[0] === '' ? 'encoder_prefix' : 'self_prefix';

/** Attentions with one MLP, by its name, but for the layers that are left out. Throws `no-match` where none is left. */
const groupsOf = (
  model: Model,
  { encoderPrefix, crossPrefix, leaveOut }: Chosen<AdapterHubPrefixTuningOptions>,
): readonly (readonly [name: string, at: Attentions])[] => {
  if (leaveOut.length > 0 && model.layout.defaultTarget('adapterHubPrefix')?.[0] === '')
    throw new PeftError(
      'bad-option',
      `adapterHubPrefixTuning: leaveOut (leave_out) is not computed in a ${model.layout.modelType}, whose layers take the bias of positions from the first, which the adapters library makes otherwise where only some have a prefix; give every layer one`,
    );
  const all: (readonly [name: string, at: Attentions])[] = [
    [readsEncoder(model) ? 'self_prefix' : onlyGroup(model), ownAttentions(model, 'adapterHubPrefixTuning')],
  ];
  if (readsEncoder(model)) {
    if (encoderPrefix) all.unshift(['encoder_prefix', attentionsAt(model, model.towers[0], 'kv')]);
    if (crossPrefix) all.push(['cross_prefix', attentionsAt(model, model.main, 'crossKv')]);
  }
  const kept = all
    .map(([name, at]) => [name, { ...at, paths: layersKept(model, at.paths, leaveOut) }] as const)
    .filter(([, { paths }]) => paths.length > 0);
  if (kept.length > 0) return kept;
  throw new PeftError('no-match', 'adapterHubPrefixTuning: no layer is left that could have a prefix');
};

/** One of a gate's outputs. */
const oneOf =
  (gate: Gate, at: number): Gate =>
  (x, call) =>
    slice(gate(x, call), { axis: 2, start: at, end: at + 1 });

const rowsOf = (
  model: Model,
  scope: Scope,
  name: string,
  width: number,
  { length, bottleneck, flat, dropout }: Chosen<AdapterHubPrefixTuningOptions>,
): Tensor => {
  const own = scope.at(`${poolOf(model)}.prefix_tunings.default.${name}`);
  if (flat)
    return scope.dropout(reshape(own.param('control_trans', [length * width], normal(1)), [length, width]), dropout);
  const first = own.param('wte.weight', [length, model.main.hiddenSize], normal(1));
  const inner = tanh(affineOf(own.param, 'control_trans.0', first, bottleneck));
  return scope.dropout(affineOf(own.param, 'control_trans.2', inner, width), dropout);
};

/**
 * Prefix tuning as the adapters library has it: in every layer Attn(q, [P_k; k], [P_v; v]) with the m keys and values computed by an MLP of
 * m embeddings, shared by the layers, and tokens at the positions that they have without a prefix. Files are that library's, which keep
 * the MLP. An encoder-decoder has three such MLPs: for the encoder, the decoder, and the decoder's attention to the encoder. In a T5 the library's version 1.3 counts the prefix among the keys, but not
 * for the queries, so that the bias of relative positions takes each key for m rows nearer to the end than it is; its files were trained so, and it is so here. Does not merge. Throws `bad-option`. Li & Liang, 2021. https://arxiv.org/abs/2101.00190
 */
export const adapterHubPrefixTuning: MethodFactory<AdapterHubPrefixTuningOptions> =
  defineMethod<AdapterHubPrefixTuningOptions>({
    name: 'adapterHubPrefixTuning',
    formula: {
      merges: false,
      options: {
        length: count('prefix_length', 30),
        bottleneck: count('bottleneck_size', 512),
        flat: flag('flat', false),
        dropout: rate('dropout', 0),
        gating: flag('use_gating', false),
        sharedGating: flag('shared_gating', true),
        leaveOut: layerNumbers('leave_out'),
        encoderPrefix: flag('encoder_prefix', true),
        crossPrefix: flag('cross_prefix', true),
      },
      attach: (model, scope, options): Patch => {
        const { gating, sharedGating } = options;
        const gateAt = (attention: Scope): Gates => {
          const name = 'prefix_tuning.prefix_gates.default';
          const gate = meanGate(attention, name, model.main.hiddenSize, sharedGating ? 1 : 2);
          return sharedGating ? { keys: gate, values: gate } : { keys: oneOf(gate, 0), values: oneOf(gate, 1) };
        };
        return mergePatches(
          groupsOf(model, options).map(([name, at]) =>
            prefixInFront(at, scope, rowsOf(model, scope, name, prefixWidth(at), options), {
              gateAt: gating ? gateAt : null,
            }),
          ),
        );
      },
    },
    files: {
      peftType: 'PEFTJS_ADAPTER_HUB_PREFIX_TUNING',
      layout: 'adapter-hub',
      hubTable: 'adapterHubPrefix',
      reads: ({ architecture }) => architecture === 'prefix_tuning',
      computes: { non_linearity: ['tanh'] },
      config: () => ({
        architecture: 'prefix_tuning',
        init_weights_seed: null,
        non_linearity: 'tanh',
      }),
    },
    card: {
      about: "an MLP that makes keys and values in front of every layer's",
      paper: {
        authors: 'Li & Liang',
        year: 2021,
        title: 'Prefix-Tuning: Optimizing Continuous Prompts for Generation',
        url: 'https://arxiv.org/abs/2101.00190',
      },
      learningRate: 3e-3,
      narrowRate: 1e-2,
    },
  });
