import {
  count,
  defineMethod,
  eachSite,
  flag,
  type MethodFactory,
  normal,
  positive,
  requireOneWidth,
  zeros,
} from '@peftjs/core';
import { add, mul, relu, type Tensor, type Variable } from '@peftjs/tensor';
import { affine } from '@peftjs/transformer';
import { compactMasks, learnedMask } from './learned-mask.ts';
import { proPetlLora } from './pro-petl-lora.ts';

/** Options of `proPetlAdapter`. */
export interface ProPetlAdapterOptions {
  /** Width r of the prototype's middle. Default 64: d / 12 of a d of 768. */
  readonly bottleneck?: number;
  /** The share of the prototype's values that a layer's masks keep, in (0, 1]. Default 0.5. */
  readonly keep?: number;
  /** Multiplies the learning rate of the scores that make the masks. Default 30, as 3e-3 is to 1e-4. */
  readonly maskRate?: number;
  /** Whether masks are bits, and trained no more: what is saved once they were learned. Default false. */
  readonly fixed?: boolean;
}

/**
 * ProPETL of adapters: after the MLP of every layer y ← y + (W_up∘M_up)·ReLU((W_down∘M_down)·y + b_down) + b_up, with W_down [r, d], W_up [d, r] and
 * biases a prototype that all layers share, and binary masks of each layer's own: 1 for the share `keep` of scores with the largest magnitudes, which are
 * trained through a straight-through estimator. Weights are from N(0, 0.02²), biases zero. Only the prototype and bits of masks are saved. Does not merge. Throws `bad-option`.
 * Zeng, Zhang & Lu, 2023. https://arxiv.org/abs/2305.17682. As the authors' code has it, https://github.com/ChaosCodes/ProPETL.
 */
export const proPetlAdapter: MethodFactory<ProPetlAdapterOptions> = defineMethod<ProPetlAdapterOptions>({
  name: 'proPetlAdapter',
  formula: {
    merges: false,
    options: {
      bottleneck: count('bottleneck', 64),
      keep: positive('sparsity', 0.5),
      maskRate: positive('mask_rate', 30),
      fixed: flag('fixed_masks', false),
    },
    check: ({ keep = 0.5 }) => (keep <= 1 ? null : `keep must be a share in (0, 1], got ${keep}`),
    compact: async (_model, options, state) => compactMasks(proPetlAdapter, options, state),
    attach: (model, scope, { bottleneck, ...masks }) => {
      requireOneWidth(model, 'proPetlAdapter');
      const { hiddenSize: d } = model.main;
      const shared = scope.at('prototype');
      const weights = {
        down: shared.param('adapter_down.weight', [bottleneck, d], normal(0.02)),
        up: shared.param('adapter_up.weight', [d, bottleneck], normal(0.02)),
      };
      const [low, high] = [
        shared.param('adapter_down.bias', [bottleneck], zeros),
        shared.param('adapter_up.bias', [d], zeros),
      ];
      return eachSite(model, scope, 'mlp', (own) => {
        const masked = (which: keyof typeof weights): Tensor => {
          const weight: Variable = weights[which];
          return mul(weight, learnedMask(own, `adapter_${which}`, weight.shape, masks));
        };
        const [down, up] = [masked('down'), masked('up')];
        return (x, next) => {
          const y = next(x);
          const inner = relu(affine(y, { weight: down, bias: low }));
          return add(y, affine(inner, { weight: up, bias: high }));
        };
      });
    },
  },
  files: { peftType: 'PEFTJS_PROPETL_ADAPTER' },
  card: {
    about: 'one bottleneck for all layers, under a mask of each',
    paper: proPetlLora.paper,
    learningRate: 1e-3,
    narrowRate: 3e-2,
  },
});
