import {
  defineMethod,
  eachLinear,
  eachNorm,
  familyTarget,
  flag,
  layerNumbers,
  layersKept,
  type MethodFactory,
  ones,
  trainedNorm,
  zeros,
} from '@peftjs/core';
import { add, mul, PeftError, reshape } from '@peftjs/tensor';
import { type Target, targeted } from '@peftjs/transformer';

/** Options of `hadamardAdapter`. */
export interface HadamardAdapterOptions {
  /** Numbers of layers that get none: the authors find some superfluous, and so reach 0.022 % of the parameters. Default: all get one. */
  readonly leaveOut?: readonly number[];
  /** Whether the norm that follows each is trained too. Default true. */
  readonly norms?: boolean;
}

const normAfter = familyTarget('normAfterAttention');

/**
 * Hadamard adapter: a scale and a shift of what every self-attention gives, A′ = w ⊙ A + b, w [d] from 1 and b [d] from 0, and the norm that
 * follows is trained in place. Merges: w and b into the attention's last layer. Throws `bad-option`, `no-match`.
 *
 * The authors train in two stages, first the task's head alone and then this: train `attach(model, [])`, `merge` it, and attach this to the
 * merged model. Chen et al., 2023. https://arxiv.org/abs/2407.11033
 */
export const hadamardAdapter: MethodFactory<HadamardAdapterOptions> = defineMethod<HadamardAdapterOptions>({
  name: 'hadamardAdapter',
  formula: {
    merges: true,
    options: { leaveOut: layerNumbers('leave_out'), norms: flag('norms', true) },
    attach: (model, scope, { leaveOut, norms }) => {
      const attentions = model.paths('attn');
      const last = model.parts(['attn-out']).map(({ path }) => path);
      const own = last.filter((path) => attentions.some((attention) => path.startsWith(`${attention}.`)));
      const out = layersKept(model, own, leaveOut);
      if (out.length === 0)
        throw new PeftError('no-match', 'hadamardAdapter: no layer is left that could have an adapter');
      const after = (): Target =>
        layersKept(model, targeted(model.norms.keys(), normAfter(model), 'hadamardAdapter'), leaveOut);
      return {
        ...eachLinear(model, scope, out, 'hadamardAdapter', (base, own) => {
          const w = own.param('hadamard_weight', [base.outDim], ones);
          const b = own.param('hadamard_bias', [base.outDim], zeros);
          return {
            ...base,
            apply: (x, call) => add(mul(base.apply(x, call), w), b),
            dense: () => {
              const { weight, bias } = base.dense();
              return { weight: mul(weight, reshape(w, [-1, 1])), bias: bias ? add(mul(bias, w), b) : b };
            },
          };
        }),
        ...(norms &&
          eachNorm(model, scope, after(), 'hadamardAdapter', (base, own) => trainedNorm(base, own, 'hadamard_norm.'))),
      };
    },
  },
  files: { peftType: 'PEFTJS_HADAMARD_ADAPTER' },
  card: {
    about: 'a scale and a shift of what attention gives',
    paper: {
      authors: 'Chen et al.',
      year: 2023,
      title: 'Hadamard Adapter: An Extreme Parameter-Efficient Adapter Tuning Method for Pre-trained Language Models',
      url: 'https://arxiv.org/abs/2407.11033',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-2,
  },
});
