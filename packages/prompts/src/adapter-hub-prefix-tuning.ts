import {
  type Chosen,
  count,
  defineMethod,
  flag,
  type MethodFactory,
  meanGate,
  normal,
  rate,
  type Scope,
} from '@peftjs/core';
import { reshape, type Tensor, tanh } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import { affineOf } from './encoder.ts';
import { keyWidth, prefixInFront, prefixLayers } from './prefix.ts';

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
}

/** The module that holds the prefixes of all layers. */
const poolOf = (model: Model): string => `${model.paths('kv')[0]!.split('.')[0]}.prefix_tuning`;

const rowsOf = (
  model: Model,
  scope: Scope,
  { length, bottleneck, flat, dropout }: Chosen<AdapterHubPrefixTuningOptions>,
): Tensor => {
  const width = prefixLayers(model) * 2 * keyWidth(model);
  const own = scope.at(`${poolOf(model)}.prefix_tunings.default.self_prefix`);
  if (flat)
    return scope.dropout(reshape(own.param('control_trans', [length * width], normal(1)), [length, width]), dropout);
  const first = own.param('wte.weight', [length, model.main.hiddenSize], normal(1));
  const inner = tanh(affineOf(own.param, 'control_trans.0', first, bottleneck));
  return scope.dropout(affineOf(own.param, 'control_trans.2', inner, width), dropout);
};

/**
 * Prefix tuning as the adapters library has it: in every layer Attn(q, [P_k; k], [P_v; v]) with the m keys and values computed by an MLP of
 * m embeddings, shared by the layers, and tokens at the positions that they have without a prefix. Files are that library's, which keep
 * the MLP. Does not merge. Throws `bad-option`. Li & Liang, 2021. https://arxiv.org/abs/2101.00190
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
      },
      attach: (model, scope, options) =>
        prefixInFront(
          model,
          scope,
          rowsOf(model, scope, options),
          options.gating
            ? (attention) => meanGate(attention, 'prefix_tuning.prefix_gates.default', model.main.hiddenSize)
            : null,
        ),
    },
    files: {
      peftType: 'PEFTJS_ADAPTER_HUB_PREFIX_TUNING',
      layout: 'adapter-hub',
      reads: ({ architecture }) => architecture === 'prefix_tuning',
      computes: { non_linearity: ['tanh'], leave_out: [], shared_gating: [true] },
      config: () => ({
        architecture: 'prefix_tuning',
        cross_prefix: true,
        encoder_prefix: true,
        init_weights_seed: null,
        leave_out: [],
        non_linearity: 'tanh',
        shared_gating: true,
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
    },
  });
