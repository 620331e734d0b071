import { defineMethod, type MethodFactory, type Objective, type Option, type Projection } from '@peftjs/core';
import {
  add,
  constant,
  div,
  gather,
  greater,
  logSoftmax,
  maximum,
  mul,
  PeftError,
  reshape,
  select,
  slice,
  sqrt,
  stopGradient,
  sub,
  sum,
  type Tensor,
  type Variable,
} from '@peftjs/tensor';
import { type Around, joinLosses, type Loss, type Model, tokenTableOf } from '@peftjs/transformer';
import { rowsName } from './encoder.ts';
import { promptComputes, promptConfig, rowsInFront } from './soft-prompt.ts';
import { checkIds } from './vocabulary.ts';

/** Options of `cpt`. */
export interface CptOptions {
  /** The examples in context, as token ids: the prompt begins as they are. */
  readonly tokens: readonly number[];
  /**
   * The part of each token, as Hugging Face PEFT counts: of the i-th example, from 0, 4i + 1 before the input, 4i + 2 the input, 4i + 3 before the
   * output, 4i + 4 the output, whose rows stay and are learned to be predicted; 0 for what stays and is not. Default 1 for all.
   */
  readonly parts?: readonly number[] | null;
  /** Factor of the losses of each example's output from the next one's on, the last of which has that of the batch's tokens. Default 1. */
  readonly decay?: number;
  /** How far an input's rows may go from their tokens, in the Euclidean norm, for a width of 2048; it grows with √width. Default 0.1. */
  readonly inputRadius?: number;
  /** The same for the rows before inputs and outputs. Default 0.1. */
  readonly formatRadius?: number;
}

const isWhole = (v: unknown): boolean =>
  Array.isArray(v) && v.length > 0 && v.every((n) => Number.isSafeInteger(n) && n >= 0);

const tokensOption: Option<readonly number[]> = {
  key: 'cpt_token_ids',
  fallback: () => {
    throw new PeftError('bad-option', 'cpt: tokens must be given: the ids of the examples in context');
  },
  expected: 'a list of token ids',
  accepts: isWhole,
};

const partsOption: Option<readonly number[] | null> = {
  key: 'cpt_tokens_type_mask',
  fallback: () => null,
  expected: 'null or a list of whole numbers of at least 0, one a token',
  accepts: (v) => v === null || isWhole(v),
};

const radius = (key: string): Option<number> => ({
  key,
  fallback: () => 0.1,
  expected: 'a number above 0',
  accepts: (v) => Number.isFinite(v) && (v as number) > 0,
});

const decayOption: Option<number> = {
  key: 'opt_loss_decay_factor',
  fallback: () => 1,
  expected: 'a number of at least 0',
  accepts: (v) => Number.isFinite(v) && (v as number) >= 0,
  fromJson: (value, { opt_weighted_loss_type: type }) => (type === 'decay' ? value : 1),
};

/** Says of a pass that its tokens are the prompt's, whose rows take their place. */
const alone = 'cptPromptAlone';

const isOutput = (part: number): boolean => part > 0 && part % 4 === 0;

/** Factors of the losses by place: 0 where the token is no output, or the first, which nothing predicts. */
const lossFactors = (parts: readonly number[], decay: number): readonly number[] => {
  const own = parts.map((part, i) => (i > 0 && isOutput(part) ? part : 0));
  const examples = [...new Set(own)].filter((part) => part > 0).sort((a, b) => b - a);
  return own.map((part) => (part === 0 ? 0 : decay ** (examples.indexOf(part) + 1)));
};

/** −log p of each token of a text by the logits of the one before it, [m − 1]; logits [1, m, vocabulary]. */
const surprises = (logits: Tensor, tokens: readonly number[]): Tensor => {
  const [, m, classes] = logits.shape as readonly [number, number, number];
  const rows = slice(reshape(logSoftmax(logits), [m, classes]), { axis: 0, start: 0, end: m - 1 });
  const at = Int32Array.from({ length: m - 1 }, (_, i) => i * classes + tokens[i + 1]!);
  return sub(0, gather(reshape(rows, [-1]), constant(at, [m - 1])));
};

/** The loss with that of the prompt's own outputs, once for each example of the batch, as if they stood before each. */
const withPrompt =
  (model: Model, tokens: readonly number[], parts: readonly number[], decay: number) =>
  (inner: Objective): Objective =>
  (views, inputs) => {
    const loss = inner(views, inputs);
    const view = views.train();
    if (view.task.name !== 'causalLM')
      throw new PeftError('bad-option', `cpt: it learns to predict tokens, the task causalLM, not ${view.task.name}`);
    const ids = constant(Int32Array.from(tokens), [1, tokens.length]);
    const logits = view.outputs({ [model.main.reads.ids]: ids, [alone]: constant(Int32Array.of(1), [1]) });
    const weights = constant(Float32Array.from(lossFactors(parts, decay).slice(1)), [tokens.length - 1]);
    const examples = inputs[model.main.reads.ids]!.shape[0]!;
    const outputs = parts.slice(1).filter(isOutput).length;
    const own: Loss = {
      sum: mul(sum(mul(surprises(logits, tokens), weights)), examples),
      weight: constant(Float32Array.of(outputs * examples), []),
    };
    return joinLosses(loss, own);
  };

/** Rows of the prompt back in the balls around their tokens, each of its radius; none at a rate of 0. */
const intoBalls =
  (rows: Variable, tokens: Tensor, radii: readonly number[]): Projection =>
  (updated, { rate }) => {
    const now = updated(rows);
    const apart = sub(now, tokens);
    const norms = sqrt(sum(mul(apart, apart), { axes: [1], keepDims: true }));
    const limits = constant(Float32Array.from(radii), [radii.length, 1]);
    const inside = add(tokens, mul(apart, div(limits, maximum(norms, limits))));
    return [[rows, select(greater(rate, 0), inside, now)]];
  };

/**
 * CPT, context-aware prompt tuning: [P; E(x)] with rows P [m, d] that begin as the embedded examples of a context, E(tokens), and stay near: after each step a row goes back into the ball
 * of its radius around its token. Rows of the examples' outputs stay as they are, and the loss is also over them: Σ w·(−log p) over the outputs in the prompt and the labelled tokens, over their number,
 * w = decay^k for the k-th example from the last one on, 1 for the batch's tokens. Files are Hugging Face PEFT's, which hold the rows; there the ball of a loaded prompt is around those, here around the tokens still.
 * For decoders that predict tokens. Does not merge. Throws `bad-option`, also when attached and trained.
 * Blau et al., 2024. https://arxiv.org/abs/2410.17222 By huggingface/peft, tuners/cpt.
 */
export const cpt: MethodFactory<CptOptions> = defineMethod<CptOptions>({
  name: 'cpt',
  formula: {
    merges: false,
    options: {
      tokens: tokensOption,
      parts: partsOption,
      decay: decayOption,
      inputRadius: radius('opt_projection_epsilon'),
      formatRadius: radius('opt_projection_format_epsilon'),
    },
    check: ({ tokens, parts }) =>
      tokens && parts && tokens.length !== parts.length
        ? `there are ${tokens.length} tokens and ${parts.length} parts; give one for each`
        : null,
    attach: (model, scope, { tokens, parts, decay, inputRadius, formatRadius }) => {
      if (model.towers.length > 1 || model.main.attends !== 'before')
        throw new PeftError('bad-option', 'cpt: is for decoders, which predict the tokens of their own prompt');
      checkIds('cpt: tokens', tokens, model);
      const m = tokens.length;
      const kinds = parts ?? tokens.map(() => 1);
      const { hiddenSize: d } = model.main;
      const ids = constant(Int32Array.from(tokens), [m]);
      const embedded = gather(tokenTableOf(model, model.main, 'cpt').weight, ids);
      const rows = scope.param(rowsName, [m, d], { graph: () => embedded }, { decay: false });
      const moves = kinds.map((part) => (part % 4 === 0 ? 0 : 1));
      const mask = constant(Float32Array.from(moves), [m, 1]);
      const shown = add(mul(rows, mask), stopGradient(mul(rows, sub(1, mask))));
      const patch = rowsInFront(model, { length: m }, () => shown);
      const [[site, inFront]] = [...patch.around!.embed!] as [[string, Around<'embed'>]];
      const around: Around<'embed'> = (x, next, call) =>
        call.pass.inputs[alone] ? reshape(shown, [1, m, d]) : inFront(x, next, call);
      const radii = kinds.map((part) => {
        const width = Math.sqrt(d / 2048);
        return part % 4 === 0 ? 1e-10 : (part % 4 === 2 ? inputRadius : formatRadius) * width;
      });
      return {
        around: { embed: new Map([[site, around]]) },
        project: intoBalls(rows, embedded, radii),
        ...(kinds.some((part, i) => i > 0 && isOutput(part)) && { objective: withPrompt(model, tokens, kinds, decay) }),
      };
    },
  },
  files: {
    peftType: 'CPT',
    computes: { ...promptComputes, num_transformer_submodules: [1] },
    config: (model, { tokens, decay }) => ({
      ...promptConfig(model, model.main.hiddenSize, model.main.heads),
      num_virtual_tokens: tokens.length,
      num_transformer_submodules: 1,
      cpt_mask: tokens.map(() => 1),
      opt_weighted_loss_type: decay === 1 ? 'none' : 'decay',
    }),
    keys: { [rowsName]: rowsName },
  },
  card: {
    about: 'the rows of examples in context, near to their tokens',
    paper: {
      authors: 'Blau et al.',
      year: 2024,
      title: 'Context-aware Prompt Tuning: Advancing In-Context Learning with Adversarial Methods',
      url: 'https://arxiv.org/abs/2410.17222',
    },
    learningRate: 1e-3,
  },
});
