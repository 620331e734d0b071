import {
  type AdapterConfig,
  count,
  defineMethod,
  kaimingUniform,
  type MethodFactory,
  number,
  type Objective,
  type Option,
  rate,
  requireOneTower,
  requireOneWidth,
  type Scope,
  targets,
  uniform,
  zeros,
} from '@peftjs/core';
import { add, gelu, matmul, mul, PeftError, sigmoid, sub, type Tensor } from '@peftjs/tensor';
import { type Around, addLosses, affine, type Model, type Path, slot, type Target } from '@peftjs/transformer';
import type { Layer } from '../activation.ts';
import { narrowModel } from './narrow-model.ts';
import { addToTokens, ofTokens, runSide } from './run-side.ts';

/** Options of `shadow`. */
export interface ShadowOptions {
  /** Blocks beside which the shadow goes on, one behind the other. Default: all. */
  readonly target?: Target;
  /** Rank r of what it adds. Default 8. */
  readonly rank?: number;
  /** α, the factor of what it adds. Default 0.1. */
  readonly alpha?: number;
  /** Probability that a value of h − s is dropped while training. Default 0.2. */
  readonly dropout?: number;
  /** Blocks of the backbone, at most as many as the base's. Default 1. */
  readonly depth?: number;
  /** Width of the inner layers of T and G. Default null: the rank. */
  readonly inner?: number | null;
  /** λ, the weight of the shadow's own loss. Default 0.05. */
  readonly weight?: number;
}

const innerOption: Option<number | null> = {
  key: 'update_hidden_size',
  fallback: () => null,
  expected: `null or ${count(null, 1).expected}`,
  accepts: (v) => v === null || count(null, 1).accepts(v),
};

const weightOption: Option<number> = {
  ...number('auxiliary_loss_weight', 0.05),
  expected: 'a number of at least 0',
  accepts: (v) => Number.isFinite(v) && (v as number) >= 0,
};

const blocksOf = (model: Model): readonly Path[] => model.paths('block');

/** The embedded tokens of a pass. */
const embedded = slot<Tensor>('shadow embedded');
/** s⁰ of a pass. */
const first = slot<Tensor | null>('shadow first');
/** s after the last block. */
const state = slot<Tensor | null>('shadow state');

/** The beginning of its paths that the base's class without a head has not: `model.`. Throws `bad-option` for a base that has no mirror here. */
const stemOf = (model: Model, depth: number): string => {
  requireOneTower(model, 'shadow');
  requireOneWidth(model, 'shadow');
  const { attends, tokenTable, order } = model.main;
  const refuse = (why: string): never => {
    throw new PeftError('bad-option', `shadow: ${why}; use ladderSide or sideTuning`);
  };
  if (attends !== 'before' || tokenTable === null || !tokenTable.endsWith('embed_tokens'))
    return refuse(
      `is for decoders whose table of tokens is called embed_tokens, which the shadow reads too; ${model.layout.modelType} is none`,
    );
  if (model.embeddings.size > 1)
    return refuse(`its backbone has no learned positions, and ${model.layout.modelType} has`);
  if (model.experts.size > 0) return refuse(`its backbone has no experts, and ${model.layout.modelType} has`);
  if (order) return refuse('is for models that run each block once');
  const blocks = blocksOf(model).length;
  if (depth > blocks) return refuse(`depth ${depth} must not be above the base's ${blocks}`);
  return tokenTable.slice(0, -'embed_tokens'.length);
};

/** A scope without the beginning of names. */
const without = (scope: Scope, stem: string): Scope => ({
  ...scope,
  param: (name, ...rest) => scope.param(name.startsWith(stem) ? name.slice(stem.length) : name, ...rest),
});

/** W₂·gelu(W₁x + b₁) + b₂, as torch begins them. */
const update = (scope: Scope, name: string, dim: number, inner: number, role: 'param' | 'buffer'): Layer => {
  const layer = (index: number, outDim: number, inDim: number): Layer => {
    const own = scope.at(`${name}.default.${index}`);
    const weight = own[role]('weight', [outDim, inDim], kaimingUniform);
    const bias = own[role]('bias', [outDim], uniform(1 / Math.sqrt(inDim)));
    return (x) => affine(x, { weight, bias });
  };
  const [into, out] = [layer(0, inner, dim), layer(2, dim, inner)];
  return (x) => out(gelu(into(x)));
};

/** The loss that the task's head has over s⁰ alone, added for the passes that have labels. */
const withOwnLoss =
  (head: Path, weight: number) =>
  (inner: Objective): Objective =>
  (views, inputs) => {
    const loss = inner(views, inputs);
    const passes = views.passes.filter((pass) => pass.inputs['labels'] && pass.get(first));
    const own = passes.map((pass) =>
      views.evaluate.with({ around: { head: new Map([[head, [() => pass.get(first)!]]]) } }).loss(pass.inputs),
    );
    return own.reduce((sum, more) => addLosses(sum, more, weight / own.length), loss);
  };

/** The faults of a file of Hugging Face PEFT whose shadow is of another kind. */
const otherKind = (config: AdapterConfig): string | null => {
  const { shadow_model: kind = 'mirror', share_embeddings: shares = true, task_type: task } = config;
  const sizes = ['shadow_hidden_size', 'shadow_num_attention_heads', 'shadow_intermediate_size'];
  const other = sizes.filter((name) => config[name] != null);
  if (kind !== 'mirror')
    return `its shadow is a model of its own, ${String(kind)}, whose weights are not in the folder; only 'mirror' is read, blocks as the base has them`;
  if (other.length > 0)
    return `its shadow has other sizes than the base (${other.join(', ')}); only one of the base's sizes is read`;
  if (shares === false) return 'its shadow has a table of tokens of its own; only one that reads the base’s is read';
  if (task === 'SEQ_CLS')
    return 'its shadow has a classifier of its own beside that of the base; only those of language models are read';
  return null;
};

/**
 * ShadowPEFT: a state s beside the stream of a frozen decoder, which a small network begins and each block moves. s⁰ = norm(blocks(E(x))) with `depth` blocks of the base's sizes over its embedded tokens; at block l
 * h ← h + α·W_up·W_down·dropout(h − s), then h ← block(h), then s ← (1 − g)·s + g·T(h) with g = σ(G(h)). T and G are W₂·gelu(W₁h + b₁) + b₂ of an inner width of r; s is [tokens, d], W_down [r, d] and W_up [d, r], 0 at the start, so training
 * begins at the base. While training λ·CE is added, the loss of the base's head over s⁰ alone; not for tasks whose head is trained. The blocks are from N(0, 0.02²), the others as torch begins them. T and G of the last block change nothing and are not trained, as in
 * Hugging Face PEFT, whose files they are in. A pass that continues a cache has the backbone's keys in it too. Of PEFT's kinds this is `mirror` with the base's sizes and its table of tokens; shadows of other sizes, of other models and of diffusion models are refused.
 * For decoders with rotary positions and a table called `embed_tokens`, without experts. Does not merge. Throws `bad-option`, and when attached `no-match`.
 * Li et al., 2026. https://arxiv.org/abs/2604.19254, as huggingface/peft, tuners/shadow.
 */
export const shadow: MethodFactory<ShadowOptions> = defineMethod<ShadowOptions>({
  name: 'shadow',
  formula: {
    merges: false,
    options: {
      target: targets('target_modules', blocksOf, blocksOf),
      rank: count('r', 8),
      alpha: number('shadow_alpha', 0.1),
      dropout: rate('shadow_dropout', 0.2),
      depth: count('shadow_num_hidden_layers', 1),
      inner: innerOption,
      weight: weightOption,
    },
    attach: (model, scope, { target, rank, alpha, dropout, depth, inner, weight }) => {
      const stem = stemOf(model, depth);
      const [embed, head] = [model.paths('embed')[0], model.paths('head')[0]];
      if (!embed || !head) throw new PeftError('no-match', 'shadow: it needs the whole model, from its embedding on');
      const paths = target as readonly Path[];
      const all = blocksOf(model);
      const start = all.indexOf(paths[0]!);
      if (paths.some((path, i) => path !== all[start + i]))
        throw new PeftError(
          'bad-option',
          `shadow: the state goes from each block to the next, so the target must be blocks in a row, and it is ${paths.join(', ')}`,
        );
      const side = narrowModel(model, without(scope.at('shadow_backbone.default'), stem), 1, depth);
      const { hiddenSize: d } = model.main;
      const beside = (path: Path): Around<'block'> => {
        const own = scope.at(path);
        const down = own.param('shadow_down.default.weight', [rank, d], kaimingUniform);
        const up = own.param('shadow_up.default.weight', [d, rank], zeros);
        // Nothing reads the state behind the last of them; files have its layers all the same.
        const isLast = path === paths.at(-1);
        const layers = (name: string): Layer => update(own, name, d, inner ?? rank, isLast ? 'buffer' : 'param');
        const [move, open] = [layers('shadow_update_transform'), layers('shadow_update_gate')];
        return (x, next, call) => {
          const { pass } = call;
          if (!pass.get(first)) pass.put(first, runSide(side, pass, 'shadow', pass.get(embedded)!));
          const s = pass.get(state) ?? pass.get(first)!;
          const apart = own.dropout(sub(ofTokens(x, call), s), dropout);
          const low = matmul(apart, down, { transposeB: true });
          const y = next(addToTokens(x, mul(matmul(low, up, { transposeB: true }), alpha)));
          if (isLast) return y;
          const h = ofTokens(y, call);
          const gate = sigmoid(open(h));
          pass.put(state, add(s, mul(gate, sub(move(h), s))));
          return y;
        };
      };
      const read: Around<'embed'> = (ids, next, call) => {
        const x = next(ids);
        call.pass.put(embedded, ofTokens(x, call));
        call.pass.put(first, null);
        call.pass.put(state, null);
        return x;
      };
      return {
        around: { embed: new Map([[embed, read]]), block: new Map(paths.map((path) => [path, beside(path)])) },
        ...(weight > 0 && model.trainedHeads.length === 0 && { objective: withOwnLoss(head, weight) }),
      };
    },
  },
  files: {
    peftType: 'SHADOW',
    refuses: otherKind,
    keys: { 'shadow_backbone.': 'base_model.shadow_backbone.' },
    config: () => ({ shadow_model: 'mirror', share_embeddings: true, init_weights: true }),
  },
  card: {
    about: 'a state beside the stream, begun by a small network and moved by each block',
    paper: {
      authors: 'Li et al.',
      year: 2026,
      title: 'ShadowPEFT: Shadow Network for Parameter-Efficient Fine-Tuning',
      url: 'https://arxiv.org/abs/2604.19254',
    },
    learningRate: 1e-3,
  },
});
