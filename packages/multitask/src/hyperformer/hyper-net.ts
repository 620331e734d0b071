import { normal, ones, type Scope, zeros } from '@peftjs/core';
import {
  add,
  broadcastTo,
  concatAll,
  constant,
  gelu,
  layerNorm,
  matmul,
  mul,
  relu,
  reshape,
  slice,
  type Tensor,
} from '@peftjs/tensor';
import { affine } from '@peftjs/transformer';

/** Sublayers that have an adapter, by the names that their generators have. */
export type Place = 'feed_forward' | 'self_attention';

/** The sizes of the networks that make adapters. */
export interface HyperNetSizes {
  /** Width d of the model, and r of an adapter's middle. */
  readonly hiddenSize: number;
  readonly width: number;
  readonly layers: number;
  /** Width e of the embeddings of tasks and layers. */
  readonly embedding: number;
  /** Width of what they become together, and of the layer between. */
  readonly projected: number;
  readonly hidden: number;
}

/** The term that an adapter adds to y [batch, tokens, d] in a layer, made of the embedding of the task, z [1 or batch, e]. */
export type MadeAdapter = (y: Tensor, z: Tensor, layer: number) => Tensor;

/** N(0, 0.01²), biases 0. */
const linear = (scope: Scope, name: string, inDim: number, outDim: number): ((x: Tensor) => Tensor) => {
  const weight = scope.param(`${name}.weight`, [outDim, inDim], normal(0.01));
  const bias = scope.param(`${name}.bias`, [outDim], zeros);
  return (x) => affine(x, { weight, bias });
};

/** x·Wᵀ + b, with a weight and a bias for each sequence, or one for all: W [1 or batch, out, in], b [1 or batch, out]. */
const ownLinear = (x: Tensor, weight: Tensor, bias: Tensor): Tensor => {
  const [rows, outDim, inDim] = weight.shape as readonly [number, number, number];
  if (rows === 1) return affine(x, { weight: reshape(weight, [outDim, inDim]), bias: reshape(bias, [outDim]) });
  return add(matmul(x, weight, { transposeB: true }), reshape(bias, [rows, 1, outDim]));
};

/** Generators of an adapter, of what task, layer and place have become, e [1 or batch, projected]. */
const generators = (scope: Scope, place: string, { hiddenSize: d, width: r, projected }: HyperNetSizes) => {
  const make = (name: string, outDim: number, inDim: number): ((x: Tensor, e: Tensor) => Tensor) => {
    const own = scope.at(`${place}${name}_sampler_hyper_net`);
    const weight = linear(own, 'weight_generator.0', projected, outDim * inDim);
    const bias = linear(own, 'bias_generator.0', projected, outDim);
    return (x, e) => ownLinear(x, reshape(weight(e), [-1, outDim, inDim]), bias(e));
  };
  const [down, up] = [make('down', r, d), make('up', d, r)];
  const own = scope.at(`${place}post_layernorm_hypernet`);
  const [weight, bias] = [linear(own, 'weight_generator', projected, d), linear(own, 'bias_generator', projected, d)];
  const [unit, none] = [1, 0].map((value) => constant(new Float32Array(d).fill(value), [d])) as [Tensor, Tensor];
  return (y: Tensor, e: Tensor): Tensor => {
    const x = up(gelu(down(y, e), { approximate: 'tanh' }), e);
    const perRow = (t: Tensor): Tensor => reshape(t, [-1, 1, d]);
    return add(mul(layerNorm(x, unit, none, { eps: 1e-5 }), perRow(weight(e))), perRow(bias(e)));
  };
};

/** The networks of one tower, in `scope`. `shared`: both places have the same generators, and an embedding that tells them apart. */
export const hyperNet = (scope: Scope, sizes: HyperNetSizes, shared: boolean): Readonly<Record<Place, MadeAdapter>> => {
  const { layers, embedding: e, projected, hidden } = sizes;
  const ofLayers = scope.param('layer_id_embeddings.weight', [layers, e], normal(1));
  const ofPlaces = shared ? scope.param('adapters_block_type.weight', [2, e], normal(1)) : null;
  const first = linear(scope, 'task_hypernet.task_embeding_generator.0', (shared ? 3 : 2) * e, hidden);
  const second = linear(scope, 'task_hypernet.task_embeding_generator.2', hidden, projected);
  const norm = [
    scope.param('LayerNorm.weight', [projected], ones),
    scope.param('LayerNorm.bias', [projected], zeros),
  ] as const;
  const together = (z: Tensor, layer: number, place: number): Tensor => {
    const row = (table: Tensor, at: number): Tensor =>
      broadcastTo(slice(table, { axis: 0, start: at, end: at + 1 }), [z.shape[0]!, e]);
    const parts = [z, row(ofLayers, layer), ...(ofPlaces ? [row(ofPlaces, place)] : [])];
    return layerNorm(second(relu(first(concatAll(parts, 1)))), ...norm, { eps: 1e-6 });
  };
  const one = shared ? generators(scope, '', sizes) : null;
  const at = (name: Place, place: number): MadeAdapter => {
    const made = one ?? generators(scope, `${name}_`, sizes);
    return (y, z, layer) => made(y, together(z, layer, place));
  };
  return { feed_forward: at('feed_forward', 0), self_attention: at('self_attention', 1) };
};
