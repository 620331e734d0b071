import {
  broadcastTo,
  cast,
  concat,
  constant,
  div,
  equal,
  mul,
  PeftError,
  reshape,
  slice,
  sub,
  sum,
  type Tensor,
  takeAlongAxis,
  tanh,
} from '@peftjs/tensor';
import type { ModelConfig } from '../config/model-config.ts';
import { lastKept, rowsAt } from '../pooling.ts';
import type { Inputs } from '../states.ts';
import type { HeadSpec } from './family.ts';
import { layerNeeds, tokenHead } from './heads.ts';

/** The first token of a decoder that reads the encoder's text: the config's own, or the text's last one. */
export type FirstToken = 'start' | 'last';

/** 1 where ids i32 are one of some tokens, else 0. */
const isAny = (ids: Tensor, tokens: readonly number[]): Tensor =>
  tokens
    .map((token) => equal(ids, constant(Int32Array.of(token), [])))
    .reduce((one, other) => sub(1, mul(sub(1, one), sub(1, other))));

const firstTokens = (ids: Tensor, { modelType, decoderStartId, padId }: ModelConfig, first: FirstToken): Tensor => {
  const [batch, tokens] = ids.shape as readonly [number, number];
  const missing = (field: string): PeftError =>
    new PeftError(
      'bad-option',
      `model: ${modelType} makes decoderIds of ids with the ${field}, and its config has none; give decoderIds, or a config with it`,
    );
  if (first === 'start') {
    if (decoderStartId == null) throw missing('decoder_start_token_id');
    return broadcastTo(constant(Int32Array.of(decoderStartId), []), [batch, 1]);
  }
  if (padId === null) throw missing('pad_token_id');
  const last = sub(tokens - 1, sum(isAny(ids, [padId]), { axes: [1] }));
  return takeAlongAxis(ids, reshape(cast(last, { dtype: 'i32' }), [batch, 1]), { axis: 1 });
};

/** A decoder that is given nothing reads the encoder's text moved by one place: transformers' `shift_tokens_right`. */
export const withDecoderIds =
  (first: FirstToken) =>
  (inputs: Inputs, config: ModelConfig): Inputs => {
    const { ids, decoderIds } = inputs;
    if (decoderIds || !ids) return inputs;
    const start = firstTokens(ids, config, first);
    const tokens = ids.shape[1]!;
    return {
      ...inputs,
      decoderIds: tokens === 1 ? start : concat(start, slice(ids, { axis: 1, start: 0, end: tokens - 1 }), { axis: 1 }),
    };
  };

/** Of each sequence the row over the text's last end: not a number for a text without one. */
export const rowsAtEnds = (rows: Tensor, ids: Tensor, { modelType, eosIds }: ModelConfig): Tensor => {
  if (eosIds.length === 0)
    throw new PeftError(
      'bad-option',
      `model: ${modelType} reads the state at a text's end, and its config names no eos_token_id`,
    );
  if (rows.shape[1] !== ids.shape[1])
    throw new PeftError(
      'bad-shape',
      `model: decoderIds must be as long as ids, whose end says where to read: got [${rows.shape.slice(0, 2)}] and [${ids.shape}]`,
    );
  const ends = isAny(ids, eosIds);
  const count = sum(ends, { axes: [1], keepDims: true });
  return mul(rowsAt(rows, lastKept(ends)), div(count, count));
};

/**
 * out_proj(tanh(dense(h))), h the decoder's state over the last end of the encoder's text, which the decoder reads moved by one place where it is given nothing: `BartForSequenceClassification`.
 * Each text must have an end, as there; the logits of one that has none are not numbers.
 */
export const endHead = (modelClass: string, first: FirstToken): HeadSpec => ({
  modelClass,
  layer: 'classification_head.out_proj',
  trained: ['classification_head'],
  needs: ({ hiddenSize }, labels) =>
    new Map([
      ...layerNeeds('classification_head.dense', hiddenSize, hiddenSize, true),
      ...layerNeeds('classification_head.out_proj', labels, hiddenSize, true),
    ]),
  makes: ['decoderIds'],
  inputs: withDecoderIds(first),
  features: ({ linears }, { main, call }, { ids }, config) => {
    const dense = 'classification_head.dense';
    return tanh(linears.get(dense)!.apply(rowsAtEnds(main, ids!, config), call(dense)));
  },
});

/** The head over every row of a decoder that reads the encoder's text moved by one place: `BartForQuestionAnswering`. */
export const answerHead = (modelClass: string, first: FirstToken): HeadSpec => ({
  ...tokenHead(modelClass, 'qa_outputs'),
  makes: ['decoderIds'],
  inputs: withDecoderIds(first),
});
