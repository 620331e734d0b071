import {
  covers,
  defineMethod,
  eachLinear,
  familyTarget,
  type MethodFactory,
  ones,
  select,
  type Target,
  targets,
} from '@peftjs/core';
import { mul, reshape } from '@peftjs/tensor';
import { adapterHubIa3 } from './adapter-hub-ia3.ts';
import { scaleOutput } from './scale-output.ts';

/** Options of `ia3`. */
export interface Ia3Options {
  /** Default: what Hugging Face PEFT scales in this architecture (Llama: `k_proj`, `v_proj`, `down_proj`; GPT-2: `c_attn`, `mlp.c_proj`). */
  readonly target?: Target;
  /** Which of them are scaled at their input instead of their output. Default: the layer after the activation (`down_proj`, `mlp.c_proj`). */
  readonly feedforward?: Target;
}

/**
 * (IA)³: keys, values and the activations inside the MLP are scaled by learned vectors, 1 at the start: y = l⊙(Wx + b) with l of shape
 * [out, 1], or y = W(l⊙x) + b with l of shape [1, in] where the layer is `feedforward`. Files are Hugging Face PEFT's; those of the adapters
 * library are read too, as `adapterHubIa3`. Merges exactly. Throws `bad-option`, and when
 * attached `no-match`. Liu et al., 2022. https://arxiv.org/abs/2205.05638
 */
export const ia3: MethodFactory<Ia3Options> = defineMethod<Ia3Options>({
  name: 'ia3',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('ia3')),
      feedforward: targets('feedforward_modules', familyTarget('ia3Feedforward')),
    },
    attach: (model, scope, { target, feedforward }) => {
      // The default may name layers that are not targeted; what a user names must be there.
      if (
        feedforward !== model.layout.defaultTarget('ia3Feedforward') &&
        !(Array.isArray(feedforward) && !feedforward[0])
      )
        select(select(model.linears.keys(), target, 'ia3'), feedforward, 'ia3: feedforward');
      return eachLinear(model, scope, target, 'ia3', (base, own, path) => {
        if (covers(feedforward, path)) {
          const l = own.param('ia3_l', [1, base.inDim], ones);
          return {
            ...base,
            apply: (x, call) => base.apply(mul(x, reshape(l, [-1])), call),
            dense: () => {
              const { weight, bias } = base.dense();
              return { weight: mul(weight, l), bias };
            },
          };
        }
        return scaleOutput(base, reshape(own.param('ia3_l', [base.outDim, 1], ones), [-1]));
      });
    },
  },
  files: {
    peftType: 'IA3',
    also: adapterHubIa3,
    computes: { modules_to_save: [], exclude_modules: [] },
    config: ({ linears, layout }) => ({
      fan_in_fan_out: [...linears.keys()].some((path) => layout.storedTransposed(path)),
      init_ia3_weights: true,
    }),
  },
  card: {
    about: "scales of keys, values and the MLP's inner activations",
    paper: adapterHubIa3.paper,
    learningRate: 3e-3,
  },
});
