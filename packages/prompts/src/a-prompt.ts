import { count, defineMethod, type MethodFactory, normal, type Scope, zeros } from '@peftjs/core';
import {
  broadcastTo,
  concatAll,
  gather,
  maxHeadDim,
  PeftError,
  pad,
  reshape,
  slice,
  type Tensor,
} from '@peftjs/tensor';
import { type Around, type Call, type Model, type Path, slot, splitHeads } from '@peftjs/transformer';
import { type AttentionPlace, headsOf, lastAttentions, scopesOf } from './attended-prompt.ts';
import { positionsOf } from './over-tokens.ts';

/** Options of `aPrompt`. */
export interface APromptOptions {
  /** Input prompts m of each layer. Default 10, the paper's. */
  readonly length?: number;
  /** Key-value prompts n of each layer. Default 10; the paper tries 1, 5, 10, 20 and 50. */
  readonly keyValues?: number;
  /** Query-key prompts r of each layer: by how many values queries and keys get longer. Default 10; the paper tries the same. */
  readonly queryKeys?: number;
  /** Positions that have query-key prompts; tokens behind them have zeros. Default 256. */
  readonly context?: number;
}

/** Zeros along the last axis, up to `size`. */
const widened = (x: Tensor, size: number): Tensor => pad(x, { axis: -1, before: 0, after: size - x.shape.at(-1)! });

/** x [1 or batch, rows, r] with zeros before it, up to so many rows. */
const frontZeros = (x: Tensor, rows: number): Tensor => pad(x, { axis: 1, before: rows - x.shape[1]!, after: 0 });

/** Features [1 or batch, rows, r] of all heads alike, for the last rows of x [batch, heads, more rows, width]; those before have zeros. They come behind the first `at` values. */
const withFeatures = (x: Tensor, features: Tensor, at: number): Tensor => {
  const [batch, heads, all, width] = x.shape as readonly [number, number, number, number];
  const every = frontZeros(features, all);
  const own = broadcastTo(reshape(every, [every.shape[0]!, 1, all, every.shape[2]!]), [
    batch,
    heads,
    all,
    every.shape[2]!,
  ]);
  const part = (start: number, end: number): Tensor[] => (start === end ? [] : [slice(x, { axis: 3, start, end })]);
  return concatAll([...part(0, at), own, ...part(at, width)], 3);
};

/** How many methods have left features in the cache, by the attention's path. */
const kept = slot<Map<Path, number>>('aPrompt');

/** Features [1 or batch, rows, r] of a pass's rows, with those of the cache's before them: [1 or batch, keys, r]. */
const throughCache = (features: Tensor, { pass, path }: Call): Tensor => {
  const { cache } = pass.options;
  if (!cache) return features;
  const known = pass.get(kept) ?? new Map<Path, number>();
  const place = known.get(path) ?? 0;
  pass.put(kept, known.set(path, place + 1));
  const [, rows, r] = features.shape as readonly [number, number, number];
  const own = broadcastTo(reshape(features, [-1, 1, rows, r]), [pass.batch, 1, rows, r]);
  const all = cache.append(`${path}.aprompt_${place}`, { k: own, v: own }).k;
  return reshape(all, [pass.batch, all.shape[2]!, r]);
};

/** The tensors of one attention, and what it does with them. */
const attentionOf = (
  model: Model,
  place: AttentionPlace,
  own: Scope,
  { length, keyValues, queryKeys, context }: Required<APromptOptions>,
) => {
  const { hiddenSize, keyHeads, headDim } = model.main;
  const front = keyValues + length;
  const input = own.param('aprompt_input', [1, length, hiddenSize], normal(1));
  const keys = own.param('aprompt_key', [1, keyValues, keyHeads * headDim], normal(1));
  const values = own.param('aprompt_value', [1, keyValues, keyHeads * headDim], normal(1));
  const ofQueries = own.param('aprompt_query_key.query', [context, queryKeys], zeros);
  const ofKeys = own.param('aprompt_query_key.key', [front + context, queryKeys], normal(1));
  const ofPrompts = slice(ofKeys, { axis: 0, start: 0, end: front });
  const ofTokens = (table: Tensor, call: Call): Tensor =>
    reshape(gather(table, positionsOf(call)), [-1, call.sequence.tokens, queryKeys]);
  const inFront = (prompts: Tensor, part: AttentionPlace['key'], call: Call): Tensor => {
    const own = splitHeads(broadcastTo(prompts, [call.pass.batch, ...prompts.shape.slice(1)]), headDim);
    return concatAll([own, headsOf(input, part, call)], 2);
  };
  const heads: Around<'heads'> = (q, next, call) => {
    const features = ofTokens(ofQueries, call);
    // Behind the head's own values: those of a prompt that was attached later, which keys have last, are there already.
    return slice(next(withFeatures(q, features, headDim)), { axis: 3, start: 0, end: headDim });
  };
  const kv: Around<'kv'> = (x, next, call) => {
    const { k, v } = next(x);
    const ownKeys = frontZeros(
      ofTokens(slice(ofKeys, { axis: 0, start: front, end: front + context }), call),
      x.k.shape[2]!,
    );
    const width = k.shape[3]!;
    const prompts = widened(inFront(keys, place.key, call), width);
    const all = concatAll([widened(inFront(values, place.value, call), width), v], 2);
    return {
      k: concatAll(
        [
          withFeatures(prompts, reshape(ofPrompts, [1, front, queryKeys]), width),
          withFeatures(k, throughCache(ownKeys, call), width),
        ],
        2,
      ),
      v: widened(all, width + queryKeys),
    };
  };
  return { heads, kv };
};

/**
 * APrompt: attention of each layer, softmax(Q_newᵀ·K_new/√d)·V_new, with prompts in its three matrices, whose columns are tokens. Input prompts P_i [m, d] are rows that the layer reads before its tokens' and forgets after it; by the paper's
 * equation (2) they are keys H_k·P_i and values H_v·P_i made by the layer's own matrices. Key-value prompts are n further columns of keys and values. Query-key prompts are r further values of each query and each key, P_q [r, tokens] and P_k [r, n + m + tokens]:
 * Q_newᵀ·K_new = QᵀK + P_qᵀP_k.
 * The figure that shows their shapes was not to be had; that query-key prompts lengthen columns follows from V_new, which has none of them. Left open there and chosen here: a token has those of its position; all heads have the same; d is a head's own size, as without them;
 * prompts turn no key and move no position; P_q begins at zeros, the others at N(0, 1). The head of the task is `modulesToSave`'s. The paper trains T5's encoder and decoder; here models have one tower.
 * Files have a layout of our own. Does not merge. Throws `bad-option`, also for models of several towers and heads that get wider than attention takes; `no-match` when attached.
 * Wang et al., 2023. https://aclanthology.org/2023.emnlp-main.567 Read was a summary of all its sections.
 */
export const aPrompt: MethodFactory<APromptOptions> = defineMethod<APromptOptions>({
  name: 'aPrompt',
  formula: {
    merges: false,
    options: {
      length: count('prompt_len', 10),
      keyValues: count('key_value_len', 10),
      queryKeys: count('query_key_len', 10),
      context: count('max_length', 256),
    },
    attach: (model, scope, options) => {
      const wide = model.main.headDim + options.queryKeys;
      if (wide > maxHeadDim)
        throw new PeftError(
          'bad-option',
          `aPrompt: heads of ${model.main.headDim} values and ${options.queryKeys} queryKeys are ${wide} wide, and attention takes ${maxHeadDim} at most; give fewer`,
        );
      const all = lastAttentions(model, model.paths('heads').length, 'aPrompt');
      const places = scopesOf(all, scope, (place, own) => attentionOf(model, place, own, options));
      const at = <S extends 'heads' | 'kv'>(site: S): ReadonlyMap<Path, Around<S>> =>
        new Map(places.map(([path, arounds]) => [path, arounds[site] as unknown as Around<S>]));
      return { around: { heads: at('heads'), kv: at('kv') } };
    },
  },
  files: { peftType: 'PEFTJS_APROMPT' },
  card: {
    about: 'prompts of queries, keys and values in every attention, beside rows that each layer reads',
    paper: {
      authors: 'Wang et al.',
      year: 2023,
      title: 'APrompt: Attention Prompt Tuning for Efficient Adaptation of Pre-trained Language Models',
      url: 'https://aclanthology.org/2023.emnlp-main.567',
    },
    learningRate: 3e-2,
    narrowRate: 3.2e-2,
  },
});
