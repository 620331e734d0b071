import { normal, ones, type Scope, uniform, zeros } from '@peftjs/core';
import { add, broadcastTo, concat, layerNorm, matmul, relu, reshape, slice, type Tensor } from '@peftjs/tensor';
import { linear } from './linear.ts';

/** The sizes of the network that makes adapters. */
export interface GeneratorSizes {
  /** Width d of the model, and r of an adapter's middle. */
  readonly hiddenSize: number;
  readonly bottleneck: number;
  readonly layers: number;
  /** Width e of prototypes and of the embeddings of layers. */
  readonly embedding: number;
  /** Widths of the layer between, and of what is made of both. */
  readonly hidden: number;
  readonly projected: number;
}

/** The output of an adapter of rows x [batch, tokens, d], made of prototypes z [1 or batch, e] for a layer. */
export type MadeAdapter = (x: Tensor, z: Tensor, layer: number) => Tensor;

/** U·relu(D·x + b_D) + b_U, whose D, U and biases are linear in v = LN(W₂·relu(W₁·[z; l] + b₁) + b₂), with l the embedding of the layer. */
export const adapterGenerator = (scope: Scope, sizes: GeneratorSizes): MadeAdapter => {
  const { hiddenSize: d, bottleneck: r, layers, embedding: e, hidden, projected: p } = sizes;
  const ofLayers = scope.param('layer_embed.weight', [layers, e], normal(1));
  const first = linear(scope, 'linear1', 2 * e, hidden);
  const second = linear(scope, 'linear2', hidden, p);
  const norm = [scope.param('LayerNorm.weight', [p], ones), scope.param('LayerNorm.bias', [p], zeros)] as const;
  const generator = (name: string, outDim: number, fanIn: number): ((v: Tensor) => Tensor) =>
    linear(scope, name, p, outDim, { weight: uniform(1e-3 * Math.sqrt(3 / (p * fanIn))), bias: zeros });
  const [weightUp, weightDown] = [generator('weight_up', r * d, r), generator('weight_down', d * r, d)];
  const [biasUp, biasDown] = [generator('bias_up', d, 1), generator('bias_down', r, 1)];
  return (x, z, layer) => {
    const rows = z.shape[0]!;
    const own = broadcastTo(slice(ofLayers, { axis: 0, start: layer, end: layer + 1 }), [rows, e]);
    const v = layerNorm(second(relu(first(concat(z, own, { axis: 1 })))), ...norm, { eps: 1e-6 });
    const [down, up] = [reshape(weightDown(v), [rows, d, r]), reshape(weightUp(v), [rows, r, d])];
    const inner = relu(add(matmul(x, down), reshape(biasDown(v), [rows, 1, r])));
    return add(matmul(inner, up), reshape(biasUp(v), [rows, 1, d]));
  };
};
