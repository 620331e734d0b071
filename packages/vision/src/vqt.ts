import { count, defineMethod, flag, type MethodFactory, normal, rate, requireOneWidth, uniform } from '@peftjs/core';
import {
  add,
  broadcastTo,
  concatAll,
  div,
  matmul,
  maximum,
  mul,
  PeftError,
  reshape,
  slice,
  sqrt,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import { type Around, type KeyValue, type Linear, type Path, slot } from '@peftjs/transformer';
import { apart, pictureTower } from './picture-tower.ts';

/** Options of `vqt`. */
export interface VqtOptions {
  /** Queries m of each layer. Default 5. */
  readonly length?: number;
  /** Probability that a value of a query is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Whether the head's own features, and each layer's answers, are divided by their length. Default true. */
  readonly normalize?: boolean;
}

/** x [rows, n] divided by the length of each row. */
const normalized = (x: Tensor): Tensor => div(x, maximum(sqrt(sum(mul(x, x), { axes: [1], keepDims: true })), 1e-12));

/**
 * Visual query tuning: in each layer m trained queries Q_l [m, d] go through its block beside the picture's rows, whose keys and values they read, and are read by none; so the base's states stay as they are, and no gradient goes through
 * them. What becomes of all queries is read by the task's head beside its own features f: logits = W f + b + Σ_l U_l a_l, with a_l the layer's m·d answers in a row, f and each a_l divided by their lengths. Q are from U(−v, v), v = √(6 / (channels · high · wide + d)) for
 * patches of high × wide pixels, U from N(0, 2 / classes). The authors' second stage, which leaves out features by a group lasso, is not here. Does not merge. Throws `bad-option`, and when attached `no-match` for a model that reads no pictures, or
 * whose task trains no layer of its own.
 * Tu, Mai & Chao, 2022. https://arxiv.org/abs/2212.03220, https://github.com/andytu28/VQT
 */
export const vqt: MethodFactory<VqtOptions> = defineMethod<VqtOptions>({
  name: 'vqt',
  formula: {
    merges: false,
    options: {
      length: count('num_query_tokens', 5),
      dropout: rate('prompt_dropout', 0),
      normalize: flag('normalize_feats', true),
    },
    attach: (model, scope, { length, dropout, normalize }) => {
      const { tower, picture, patch, paths } = pictureTower(model, 'vqt', 'ladderSide');
      requireOneWidth(model, 'vqt', tower);
      const [head] = model.trainedHeads;
      const layer = head === undefined ? undefined : model.linears.get(head);
      if (head === undefined || !layer)
        throw new PeftError(
          'no-match',
          'vqt: what becomes of its queries is read by the head of a task, and this model trains none; load it for a task: imageClassifier',
        );
      const [blocks, keys, d] = [paths('block'), paths('kv'), tower.hiddenSize];
      const bound = Math.sqrt(6 / (picture[0] * patch[0] * patch[1] + d));
      const queries = scope.param('query_prompt_embeddings', [blocks.length, length, d], uniform(bound));
      const weight = scope
        .at(head)
        .param('query_weight', [layer.outDim, blocks.length * length * d], normal(Math.sqrt(2 / layer.outDim)));
      const answers = slot<readonly Tensor[]>('answers to the queries');
      /** Keys and values of the picture's rows, while the queries of a layer are under way. */
      const read = slot<KeyValue | null>('keys that the queries read');
      const seen = slot<KeyValue>('keys of the layer');
      const ask =
        (i: number): Around<'block'> =>
        (x, next, { pass }) => {
          const y = next(x);
          if (pass.get(apart)) return y; // those of another one
          const own = scope.dropout(slice(queries, { axis: 0, start: i, end: i + 1 }), dropout);
          pass.put(read, pass.get(seen)!);
          pass.put(apart, true);
          const answer = next(broadcastTo(own, [pass.batch, length, d]));
          pass.put(read, null);
          pass.put(apart, false);
          pass.put(answers, [...(i === 0 ? [] : pass.get(answers)!), reshape(answer, [pass.batch, length * d])]);
          return y;
        };
      const share: Around<'kv'> = (own, next, { pass }) => {
        const others = pass.get(read);
        if (others) return others;
        const all = next(own);
        pass.put(seen, all);
        return all;
      };
      const told = (base: Linear): Linear => ({
        ...base,
        apply: (x, call) => {
          const all = call.pass.get(answers)!.map((answer) => (normalize ? normalized(answer) : answer));
          const features = all.length === 1 ? all[0]! : concatAll(all, 1);
          return add(base.apply(normalize ? normalized(x) : x, call), matmul(features, weight, { transposeB: true }));
        },
        dense: () => {
          throw new PeftError(
            'not-mergeable',
            'vqt: the head reads what becomes of its queries too, so it is no matrix: it cannot be merged, and nothing can be attached to it afterwards; attach all methods in one list',
          );
        },
      });
      return {
        linear: new Map([[head, told]]),
        around: {
          block: new Map(blocks.map((path, i): [Path, Around<'block'>] => [path, ask(i)])),
          kv: new Map(keys.map((path): [Path, Around<'kv'>] => [path, share])),
        },
      };
    },
  },
  files: { peftType: 'PEFTJS_VQT' },
  card: {
    about: 'queries of each layer, whose answers the head reads',
    paper: {
      authors: 'Tu, Mai & Chao',
      year: 2022,
      title:
        'Visual Query Tuning: Towards Effective Usage of Intermediate Representations for Parameter and Memory Efficient Transfer Learning',
      url: 'https://arxiv.org/abs/2212.03220',
    },
    learningRate: 1e-3,
  },
});
