import type { ops } from '@peftjs/tensor/executor';
import { elementwise, type Kernel } from '../kernel.ts';
import { adamwKernel } from './adamw.ts';
import { adamw8bitKernel } from './adamw8bit.ts';
import { addSquaresKernel } from './add-squares.ts';
import { attentionGradKernel } from './attention-backward.ts';
import { attentionKernel } from './attention-forward.ts';
import { expertMatmulKernel, expertMatmulPackedKernel, expertOuterKernel } from './experts.ts';
import { erfExpression, geluExpression, powExpression, sigmoidExpression, sineExpression } from './expressions.ts';
import { headCrossEntropyKernel, headLabelLossesKernel } from './head-cross-entropy-kernel.ts';
import type { KernelFor } from './kernel-for.ts';
import { layerNormGradKernel, layerNormKernel } from './layer-norm.ts';
import { matmulKernel } from './matmul.ts';
import { concatKernel, gatherKernel, padKernel, sliceKernel, takeAlongAxisKernel, transposeKernel } from './moves.ts';
import { dequantizeKernel, matmulQuantizedKernel } from './packed.ts';
import { randomBitsKernel } from './random-bits.ts';
import { argmaxKernel, topKKernel } from './ranking.ts';
import { reduceKernel } from './reduce.ts';
import { rmsNormGradKernel, rmsNormKernel } from './rms-norm.ts';
import { ropeKernel } from './rope.ts';
import { ropePairKernel } from './rope-pair.ts';
import { scatterAddKernel } from './scatter-add.ts';
import { sliceUpdateKernel } from './slice-update.ts';
import { softmaxKernel } from './softmax.ts';
import { sampledMatmulKernel, sparseMatmulKernel } from './sparse.ts';

const view: Kernel<never, unknown> = { kind: 'view' };

/** How each op of `@peftjs/tensor` runs on WebGPU. Exhaustive: an op without a kernel does not compile. */
export const kernels: { readonly [K in keyof typeof ops]: KernelFor<K> } = {
  abs: elementwise('abs(x)'),
  adamw: adamwKernel,
  adamw8bit: adamw8bitKernel,
  add: elementwise('a + b'),
  add_squares: addSquaresKernel,
  after: view,
  argmax: argmaxKernel,
  attention: attentionKernel,
  attention_grad: attentionGradKernel,
  bits_to_uniform: elementwise('f32(bits >> 8u) * 0x1p-24f'),
  broadcast_to: elementwise('x'),
  // f16 values are f32 inside an expression: loading widens, storing rounds.
  cast: elementwise(({ dtype }) => `${dtype === 'f16' ? 'f32' : dtype}(x)`),
  concat: concatKernel,
  cos: elementwise(sineExpression(1)),
  dequantize: dequantizeKernel,
  div: elementwise('a / b'),
  equal: elementwise('f32(a == b)'),
  erf: elementwise(erfExpression('x')),
  exp: elementwise('exp(x)'),
  expert_matmul: expertMatmulKernel,
  expert_matmul_packed: expertMatmulPackedKernel,
  expert_outer: expertOuterKernel,
  floor: elementwise('floor(x)'),
  gather: gatherKernel,
  gelu: elementwise(({ approximate }) => geluExpression(approximate)),
  greater: elementwise('f32(a > b)'),
  greater_equal: elementwise('f32(a >= b)'),
  head_cross_entropy: headCrossEntropyKernel,
  head_label_losses: headLabelLossesKernel,
  is_finite: elementwise('select(0.0, 1.0, (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u)'),
  layer_norm: layerNormKernel,
  layer_norm_grad: layerNormGradKernel,
  less: elementwise('f32(a < b)'),
  less_equal: elementwise('f32(a <= b)'),
  log: elementwise('log(x)'),
  log_softmax: softmaxKernel('x - top - log(total)'),
  matmul: matmulKernel,
  matmul_quantized: matmulQuantizedKernel,
  max: reduceKernel({ start: 'first', step: 'max(acc, x)' }),
  maximum: elementwise('max(a, b)'),
  mean: reduceKernel({
    start: '0',
    step: 'acc + x',
    finish: 'acc * p.scale',
    params: (reduced) => ({ scale: { f32: 1 / reduced } }),
  }),
  minimum: elementwise('min(a, b)'),
  mul: elementwise('a * b'),
  neg: elementwise('-x'),
  pad: padKernel,
  pow: elementwise(powExpression),
  random_bits: randomBitsKernel,
  relu: elementwise('select(x, 0.0, x < 0.0)'),
  reshape: view,
  rms_norm: rmsNormKernel,
  rms_norm_grad: rmsNormGradKernel,
  rope: ropeKernel,
  rope_pair: ropePairKernel,
  rsqrt: elementwise('inverseSqrt(x)'),
  sampled_matmul: sampledMatmulKernel,
  scatter_add: scatterAddKernel,
  take_along_axis: takeAlongAxisKernel,
  select: elementwise('select(b, a, cond != 0)'),
  sigmoid: elementwise(sigmoidExpression),
  sign: elementwise('sign(x)'),
  silu: elementwise(`x * (${sigmoidExpression})`),
  sin: elementwise(sineExpression(0)),
  slice: sliceKernel,
  slice_update: sliceUpdateKernel,
  softmax: softmaxKernel('exp(x - top) / total'),
  sparse_matmul: sparseMatmulKernel,
  sqrt: elementwise('sqrt(x)'),
  stop_gradient: view,
  sub: elementwise('a - b'),
  sum: reduceKernel({ start: '0', step: 'acc + x' }),
  tanh: elementwise('select(tanh(x), sign(x), abs(x) > 15.0)'),
  top_k: topKKernel,
  transpose: transposeKernel,
};
