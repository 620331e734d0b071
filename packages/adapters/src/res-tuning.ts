import {
  count,
  defineMethod,
  flag,
  glorotUniform,
  type Init,
  type MethodFactory,
  normal,
  requireOneTower,
  requireOneWidth,
  type Scope,
  zeros,
} from '@peftjs/core';
import { add, gelu, PeftError, stopGradient, type Tensor } from '@peftjs/tensor';
import { type Around, affine, slot } from '@peftjs/transformer';

/** Options of `resTuning`. */
export interface ResTuningOptions {
  /** Width r of the tuners. Default 10. */
  readonly bottleneck?: number;
  /** Whether the last tuners' second matrices begin at 0. Default false. */
  readonly zeroLast?: boolean;
}

/** x + W₂ GELU(W₁ x + b₁) + b₂ */
const tuner = (own: Scope, d: number, r: number, last: boolean): ((x: Tensor) => Tensor) => {
  const layer = (name: string, outDim: number, inDim: number, init: Init, shift: Init): ((x: Tensor) => Tensor) => {
    const weight = own.param(`${name}.weight`, [outDim, inDim], init);
    const bias = own.param(`${name}.bias`, [outDim], shift);
    return (x) => affine(x, { weight, bias });
  };
  const xavier = glorotUniform(1);
  const first = layer('ln1', r, d, xavier, normal(1e-6));
  const second = layer('ln2', d, r, last ? zeros : xavier, last ? zeros : normal(1e-6));
  return (x) => add(x, second(gelu(first(x))));
};

/** The bypass so far. */
const bypass = slot<Tensor>('bypass');

/**
 * Res-Tuning-Bypass: a path beside the layers, which reads what each gives, b ← T_l(x_l) + T'_l(b) from the embedded tokens on, of which the last takes the place of the stream before the final norm. T and T' are
 * tuners, x + W₂ GELU(W₁ x + b₁) + b₂ with W₁ [r, d], W₂ [d, r] from Glorot's uniform distribution and biases from N(0, 10⁻¹²). No gradient goes through the base, so none of its inner values are kept: only the x_l. Training does
 * not begin at the base. Default r = 10. For models of one tower. Does not merge. Throws `bad-option`, and when attached `no-match`.
 * Jiang et al., 2023. https://arxiv.org/abs/2310.19859, as https://github.com/modelscope/ms-swift has it, `swift/tuners/restuning.py`, with its `res_adapter` as both tuners, the blocks as stems, the first block's input as root and
 * the final norm's as target. Their tuners within the base (Res-Tuning without a bypass) are adapters beside its parts: `parallelAdapter`, `adaptFormer`, `prefixTuning`.
 */
export const resTuning: MethodFactory<ResTuningOptions> = defineMethod<ResTuningOptions>({
  name: 'resTuning',
  formula: {
    merges: false,
    options: { bottleneck: count('adapter_length', 10), zeroLast: flag('zero_init_last', false) },
    attach: (model, scope, { bottleneck, zeroLast }) => {
      requireOneTower(model, 'resTuning');
      requireOneWidth(model, 'resTuning');
      const [blocks, head] = [model.paths('block'), model.paths('head')[0]];
      if (!head) throw new PeftError('no-match', 'resTuning: it needs the whole model, up to its head');
      const d = model.main.hiddenSize;
      const step = (path: string, i: number): [string, Around<'block'>] => {
        const own = scope.at(`res_tuning.blocks.${i}`);
        const last = zeroLast && i === blocks.length - 1;
        const lateral = tuner(own.at('lateral'), d, bottleneck, last);
        const vertical = tuner(own.at('vertical'), d, bottleneck, last);
        return [
          path,
          (x, next, { pass }) => {
            const before = i === 0 ? stopGradient(x) : pass.get(bypass)!;
            const y = next(x);
            pass.put(bypass, add(lateral(stopGradient(y)), vertical(before)));
            return y;
          },
        ];
      };
      return {
        around: {
          block: new Map(blocks.map(step)),
          head: new Map([[head, (_, next, { pass }) => next(pass.get(bypass)!)]]),
        },
      };
    },
  },
  files: { peftType: 'PEFTJS_RES_TUNING' },
  card: {
    about: 'a path of tuners beside the backbone, which takes its place at the end',
    paper: {
      authors: 'Jiang et al.',
      year: 2023,
      title: 'Res-Tuning: A Flexible and Efficient Tuning Paradigm via Unbinding Tuner from Backbone',
      url: 'https://arxiv.org/abs/2310.19859',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
