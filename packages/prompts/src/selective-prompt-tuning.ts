import {
  count,
  defineMethod,
  type MethodFactory,
  type Option,
  oneOf,
  requireOneTower,
  type Scope,
  zeros,
} from '@peftjs/core';
import { add, broadcastTo, constant, gather, mul, sigmoid, sub, type Tensor } from '@peftjs/tensor';
import { type Call, tokenTableOf } from '@peftjs/transformer';
import { rowsName } from './encoder.ts';
import { type LateRows, lateRowsInFront } from './late-rows.ts';
import { generatorOf, generators, type PromptGenerator } from './lpt.ts';
import { tokenRows } from './over-tokens.ts';
import { initOf, type RowInit, rowInit } from './vocabulary.ts';

/** Options of `selectivePromptTuning`. */
export interface SelectivePromptTuningOptions {
  /** Virtual tokens m of each layer's prompt. Default 10. */
  readonly length?: number;
  /** The layers that have a prompt, by number from 0; null (default): all, each behind a gate. */
  readonly layers?: readonly number[] | null;
  /** First values of each prompt that is trained as it is, as in `promptTuning`. Default `vocabulary`. */
  readonly init?: RowInit;
  /** How prompts are made of each text, by a generator of `lpt` for each layer, of the text as it is before the layer. Default `none`: they are trained as they are, the same for all texts. */
  readonly generator?: PromptGenerator;
  /** Width h of the generators. Default 128. */
  readonly bottleneck?: number;
}

const layersOption: Option<readonly number[] | null> = {
  key: 'prompt_layers',
  fallback: () => null,
  expected: 'null, or a list of layers from 0 on without one twice',
  accepts: (v) =>
    v === null ||
    (Array.isArray(v) &&
      v.length > 0 &&
      v.every((i) => Number.isSafeInteger(i) && i >= 0) &&
      new Set(v).size === v.length),
};

/**
 * SPT, selective prompt tuning: layers have prompts of their own, m trained rows [m, d] in front of the text, and a number for each layer decides whether its prompt is put in. With gates, layer i reads (1 − σ(α_i))·p + σ(α_i)·P_i in front of the text, where p are the rows that the layer before gives there,
 * zeros before the first, and α_i is trained, 0 at the start. `selectPromptLayers` of `@peftjs/hybrid` trains the gates by bi-level optimisation and keeps the layers of the largest: with `layers` given, those read P_i instead of p, the others what the one before gives, and those before the first read the text alone.
 * Tokens have the positions that they have without prompts. From the paper's abstract and reviews of it are the prompt of each layer, the gate and its bi-level training; that a shut gate lets the earlier rows pass on, σ and the first values are chosen here. The paper makes its prompts of each text, which the abstract does not say how; with `generator` it is done as in `lpt`, W₂·relu(W₁·z + b₁) + b₂ with tensors of each layer's own; without, prompts are the same for all.
 * Files have a layout of our own. Does not merge. Throws `bad-option` and `no-match` when attached: for models of several towers, or whose layers share blocks; with rows or keys of other methods in front.
 * Zhu & Tan, 2023. https://aclanthology.org/2023.emnlp-main.727
 */
export const selectivePromptTuning: MethodFactory<SelectivePromptTuningOptions> =
  defineMethod<SelectivePromptTuningOptions>({
    name: 'selectivePromptTuning',
    formula: {
      merges: false,
      options: {
        length: count('num_virtual_tokens', 10),
        layers: layersOption,
        init: { ...rowInit, key: null },
        generator: oneOf('generator_type', generators, 'none'),
        bottleneck: count('bottleneck_dim', 128),
      },
      attach: (model, scope, { length, layers, init, generator, bottleneck }) => {
        requireOneTower(model, 'selectivePromptTuning');
        const { dim, weight } = tokenTableOf(model, model.main, 'selectivePromptTuning');
        const blocks = model.main.paths('block');
        const first = initOf(init, model, length, (ids) => gather(weight, constant(ids, [length])));
        const promptOf = (own: Scope): ((x: Tensor, call: Call) => Tensor) => {
          if (generator === 'none') {
            const rows = own.param(rowsName, [length, dim], first);
            return (_, { pass }) => broadcastTo(rows, [pass.batch, length, dim]);
          }
          const made = generatorOf(own, dim, { length, generator, bottleneck, dropout: 0 });
          return (x, call) => made(tokenRows(x, call), call);
        };
        const rowsOf = (layer: number): LateRows => {
          const own = scope.at(blocks[layer] ?? String(layer));
          const all = promptOf(own);
          if (layers) return (x, _, call) => all(x, call);
          const gate = sigmoid(own.param('prompt_gate', [1], zeros));
          if (layer === 0) return (x, _, call) => mul(all(x, call), gate);
          return (x, before, call) => add(mul(before, sub(1, gate)), mul(all(x, call), gate));
        };
        const chosen = layers ?? [...blocks.keys()];
        return lateRowsInFront(model, {
          who: 'selectivePromptTuning',
          length,
          rows: new Map(chosen.map((layer) => [layer, rowsOf(layer)])),
        });
      },
    },
    files: { peftType: 'PEFTJS_SPT' },
    card: {
      about:
        'a prompt of each layer, behind a gate that says whether it is put in; or prompts of the layers that were chosen',
      paper: {
        authors: 'Zhu & Tan',
        year: 2023,
        title: 'SPT: Learning to Selectively Insert Prompts for Better Prompt Tuning',
        url: 'https://aclanthology.org/2023.emnlp-main.727',
      },
      learningRate: 3e-2,
      narrowRate: 1e-2,
    },
  });
