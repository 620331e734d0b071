import {
  defineMethod,
  filled,
  kaimingUniform,
  type MethodFactory,
  number,
  positive,
  requireOneTower,
  requireOneWidth,
  wholeNumber,
} from '@peftjs/core';
import { add, concat, constant, mul, PeftError, sigmoid, slice, stopGradient, sub, type Tensor } from '@peftjs/tensor';
import { slot } from '@peftjs/transformer';
import { linear } from '../bottleneck.ts';
import { narrowModel } from './narrow-model.ts';
import { ofTokens, runSide } from './run-side.ts';

/** Options of `sideTuning`. */
export interface SideTuningOptions {
  /** The side network has the base's sizes divided by it. Default 8. */
  readonly reduction?: number;
  /** Its layers, at most as many as the base's. Default 0: as many as the base has. */
  readonly layers?: number;
  /** α at the start. Default 0: half of each. */
  readonly alpha?: number;
}

/** The side network's input. */
const entry = slot<Tensor>('side entry');

/** The last rows of y replaced. */
const withTokens = (y: Tensor, tokens: Tensor): Tensor => {
  const front = y.shape[1]! - tokens.shape[1]!;
  return front === 0 ? tokens : concat(slice(y, { axis: 1, start: 0, end: front }), tokens, { axis: 1 });
};

/**
 * Side-tuning: a small network S beside the frozen base B, which reads the same tokens, and a blend of both: what the head reads is σ(α) B(x) + (1 − σ(α)) S(x) with a trained α, 0 at the start. S(x) = W_up norm(layers(W_down e + b_down)) + b_up of
 * the embedded tokens e, in layers of the base's architecture with its sizes divided. No gradient goes through the base, so none of its inner values are kept. W_down [d / r, d] from U(−1/√d, 1/√d), W_up likewise, layers from N(0, 0.02²). Training does
 * not begin at the base. For models of one tower. Does not merge. Throws `bad-option`, and when attached `no-match`.
 * Zhang, Sax, Zamir, Guibas & Malik, 2019. https://arxiv.org/abs/1912.13503, https://github.com/jozhang97/side-tuning, `sidetune_architecture.py`: the blend, α and the frozen base. The side network is free there (a copy, a small convolution); ours is
 * that of `ladderSide` without its rungs.
 */
export const sideTuning: MethodFactory<SideTuningOptions> = defineMethod<SideTuningOptions>({
  name: 'sideTuning',
  formula: {
    merges: false,
    options: {
      reduction: positive('reduction', 8),
      layers: wholeNumber('side_layers', 0),
      alpha: number('alpha_init', 0),
    },
    attach: (model, scope, { reduction, layers, alpha: start }) => {
      requireOneTower(model, 'sideTuning');
      requireOneWidth(model, 'sideTuning');
      const [blocks, head] = [model.paths('block'), model.paths('head')[0]];
      if (!head) throw new PeftError('no-match', 'sideTuning: it needs the whole model, up to its head');
      if (layers > blocks.length)
        throw new PeftError('bad-option', `sideTuning: layers ${layers} must not be above the base's ${blocks.length}`);
      const own = scope.at('side_tuning');
      const side = narrowModel(model, own, reduction, layers || blocks.length);
      const [wide, narrow] = [model.main.hiddenSize, side.main.hiddenSize];
      const down = linear(own, 'first_down', narrow, wide, kaimingUniform);
      const up = linear(own, 'up', wide, narrow, kaimingUniform);
      const share = sigmoid(own.param('alpha', [1], filled(start)));
      const rest = sub(constant(Float32Array.of(1), [1]), share);
      return {
        around: {
          block: new Map([
            [
              blocks[0]!,
              (x, next, call) => {
                call.pass.put(entry, down(stopGradient(ofTokens(x, call))));
                return next(x);
              },
            ],
          ]),
          head: new Map([
            [
              head,
              (x, next, call) => {
                const y = next(x);
                const base = mul(stopGradient(ofTokens(y, call)), share);
                const beside = up(runSide(side, call.pass, 'side_tuning', call.pass.get(entry)!));
                return withTokens(y, add(base, mul(beside, rest)));
              },
            ],
          ]),
        },
      };
    },
  },
  files: { peftType: 'PEFTJS_SIDE_TUNING' },
  card: {
    about: 'a small network beside the backbone, blended with it at the end',
    paper: {
      authors: 'Zhang et al.',
      year: 2019,
      title: 'Side-Tuning: A Baseline for Network Adaptation via Additive Side Networks',
      url: 'https://arxiv.org/abs/1912.13503',
    },
    learningRate: 1e-3,
    narrowRate: 1e-1,
  },
});
