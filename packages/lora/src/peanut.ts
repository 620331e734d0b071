import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  kaimingUniform,
  type MethodFactory,
  number,
  oneOf,
  type Target,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import { add, gelu, matmul, mul, relu, sigmoid, silu, type Tensor, tanh, transpose } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';

/** An activation, by its name in transformers. */
export type PeanutActivation =
  | 'relu'
  | 'gelu'
  | 'gelu_new'
  | 'gelu_pytorch_tanh'
  | 'silu'
  | 'swish'
  | 'tanh'
  | 'sigmoid'
  | 'linear';

/** Options of `peanut`. */
export interface PeanutOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Width r of the network. Default 32. */
  readonly rank?: number;
  /** Hidden layers on each side, 100 at most. Default 0. */
  readonly depth?: number;
  /** Default `relu`. */
  readonly activation?: PeanutActivation;
  /** Of the update. Default 1. */
  readonly scale?: number;
}

/** Hidden layers on a side; a model has no more blocks than that. */
const mostDepth = 100;

const tanhGelu = (x: Tensor): Tensor => gelu(x, { approximate: 'tanh' });

const activations: Readonly<Record<PeanutActivation, (x: Tensor) => Tensor>> = {
  relu,
  gelu: (x) => gelu(x),
  gelu_new: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  silu,
  swish: silu,
  tanh,
  sigmoid,
  linear: (x) => x,
};

const names = Object.keys(activations) as PeanutActivation[];

/**
 * PEANuT: y = Wx + s·B·f(W)ᵀ·x with f a small network that reads each column of W, [out] values: h₀ = σ(A·w), then `depth` layers hᵢ = σ(Eᵢ·hᵢ₋₁), and as many back,
 * σ(Dᵢ·h) and the input of the layer across added. A is [rank, out], E and D [rank, rank], from U(−1/√n, 1/√n) with n their last axis; B [out, rank] is zero at the start. f(W) [in, rank] is
 * formed in each step, but nothing of shape [out, in]. Merges. Throws `bad-option`, and when attached `no-match`.
 * Zhong et al., 2024. https://arxiv.org/abs/2410.01870
 */
export const peanut: MethodFactory<PeanutOptions> = defineMethod<PeanutOptions>({
  name: 'peanut',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 32),
      depth: wholeNumber('depth', 0),
      activation: oneOf('act_fn', names, 'relu'),
      scale: number('scaling', 1),
    },
    check: ({ depth = 0 }) => (depth > mostDepth ? `depth must be at most ${mostDepth}, got ${depth}` : null),
    attach: (model, scope, { target, rank, depth, activation, scale }) =>
      eachLinear(model, scope, target, 'peanut', (base, own) => {
        const bend = activations[activation];
        const layers = (name: string) =>
          Array.from({ length: depth }, (_, i) =>
            own.param(`peanut_${name}.${i}.weight`, [rank, rank], kaimingUniform),
          );
        const a = own.param('peanut_A.weight', [rank, base.outDim], kaimingUniform);
        const [encoders, decoders] = [layers('encoders'), layers('decoders')];
        const b = own.param('peanut_B.weight', [base.outDim, rank], zeros);
        const through = (x: Tensor, layer: Tensor): Tensor => bend(matmul(x, layer, { transposeB: true }));
        /** [in, rank] */
        const features = (): Tensor => {
          let h = through(transpose(base.dense().weight), a);
          const inputs: Tensor[] = [];
          for (const encoder of encoders) {
            inputs.push(h);
            h = through(h, encoder);
          }
          for (const decoder of decoders) h = add(through(h, decoder), inputs.pop()!);
          return h;
        };
        return addDelta(base, {
          apply: (x) => matmul(mul(matmul(x, features()), scale), b, { transposeB: true }),
          dense: () => mul(matmul(b, features(), { transposeB: true }), scale),
        });
      }),
  },
  files: { peftType: 'PEANUT', config: () => ({ init_weights: true }) },
  card: {
    about: 'an update that a small network makes of the weight',
    paper: {
      authors: 'Zhong et al.',
      year: 2024,
      title: 'PEANuT: Parameter-Efficient Adaptation with Weight-aware Neural Tweakers',
      url: 'https://arxiv.org/abs/2410.01870',
    },
    learningRate: 1e-4,
    narrowRate: 1e-2,
  },
});
