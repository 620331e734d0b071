export {
  compile,
  type EvaluateOptions,
  type Executable,
  type Executor,
  evaluate,
  type Feeds,
  type MemoryKind,
  type MemoryReport,
  type OnExecutor,
  onExecutor,
  type Plan,
  type PlannedKernel,
  type PlannedTensor,
  type Profile,
  type ProfiledKernel,
  type RunOptions,
} from './compile.ts';
export type { TensorLike } from './define-op.ts';
export { bytesPerElement, type DType, holds, type TypedArray } from './dtype.ts';
export { isPeftError, PeftError, type PeftErrorCode } from './error.ts';
export { type ChooseOptions, type ExecutorCandidates, firstAvailable } from './first-available.ts';
export {
  byteSize,
  type Compute,
  constant,
  input,
  isVariable,
  type Tensor,
  type Variable,
  type VariableInit,
  variable,
} from './graph.ts';
export { halfToNumber, numberToHalf } from './half.ts';
export { abs } from './ops/abs.ts';
// The optimisers of `@peftjs/trainer` have the names of these ops; a name means one thing in all packages.
export { adamw as adamwStep } from './ops/adamw.ts';
export { adamw8bit as adamw8bitStep, stateBlock } from './ops/adamw8bit.ts';
export { add } from './ops/add.ts';
export { addSquares } from './ops/add-squares.ts';
export { after } from './ops/after.ts';
export { argmax } from './ops/argmax.ts';
export { type AttentionOptions, attention } from './ops/attention.ts';
export { maxHeadDim } from './ops/attention-spec.ts';
export { bitsToUniform } from './ops/bits-to-uniform.ts';
export { broadcastTo } from './ops/broadcast-to.ts';
export { cast } from './ops/cast.ts';
export { concat, concatAll } from './ops/concat.ts';
export { cos } from './ops/cos.ts';
export { dequantize } from './ops/dequantize.ts';
export { div } from './ops/div.ts';
export { dropout } from './ops/dropout.ts';
export { dynamicMap } from './ops/dynamic-map.ts';
export { equal } from './ops/equal.ts';
export { erf } from './ops/erf.ts';
export { exp } from './ops/exp.ts';
export { type ExpertMatmulAttrs, expertMatmul } from './ops/expert-matmul.ts';
export { type ExpertMatmulPackedAttrs, expertMatmulPacked } from './ops/expert-matmul-packed.ts';
export { type ExpertOuterAttrs, expertOuter } from './ops/expert-outer.ts';
export { floor } from './ops/floor.ts';
export { gather } from './ops/gather.ts';
export { gelu } from './ops/gelu.ts';
export { greater } from './ops/greater.ts';
export { greaterEqual } from './ops/greater-equal.ts';
export { type HeadCrossEntropyOptions, headCrossEntropy } from './ops/head-cross-entropy.ts';
export { headLabelLosses } from './ops/head-label-losses.ts';
export { isFinite } from './ops/is-finite.ts';
export { layerNorm } from './ops/layer-norm.ts';
export { less } from './ops/less.ts';
export { lessEqual } from './ops/less-equal.ts';
export { log } from './ops/log.ts';
export { logSoftmax } from './ops/log-softmax.ts';
export { type MatmulAttrs, matmul } from './ops/matmul.ts';
export { type MatmulQuantizedAttrs, matmulQuantized } from './ops/matmul-quantized.ts';
export { max } from './ops/max.ts';
export { maximum } from './ops/maximum.ts';
export { mean } from './ops/mean.ts';
export { minimum } from './ops/minimum.ts';
export { mul } from './ops/mul.ts';
export { neg } from './ops/neg.ts';
export {
  codeAt,
  nf4Levels,
  type PackedFormat,
  type PackedFormatDef,
  packedFormats,
  type WholeBits,
} from './ops/packed-formats.ts';
export {
  type Packed,
  type PackedAttrs,
  type PackedOption,
  packedRow,
  packedShapes,
  type ScaleMap,
  scaleGroup,
  wholeBytes,
} from './ops/packed-matrix.ts';
export { pad } from './ops/pad.ts';
export { pow } from './ops/pow.ts';
export { randomBits } from './ops/random-bits.ts';
export { randomUniform } from './ops/random-uniform.ts';
export type { ReduceOptions } from './ops/reduce.ts';
export { relu } from './ops/relu.ts';
export { reshape } from './ops/reshape.ts';
export { rmsNorm } from './ops/rms-norm.ts';
export { rope } from './ops/rope.ts';
export { ropePair } from './ops/rope-pair.ts';
export { rsqrt } from './ops/rsqrt.ts';
export { sampledMatmul } from './ops/sampled-matmul.ts';
export { scatterAdd } from './ops/scatter-add.ts';
export { select } from './ops/select.ts';
export { sigmoid } from './ops/sigmoid.ts';
export { sign } from './ops/sign.ts';
export { silu } from './ops/silu.ts';
export { sin } from './ops/sin.ts';
export { slice } from './ops/slice.ts';
export { sliceUpdate } from './ops/slice-update.ts';
export { softmax } from './ops/softmax.ts';
export { type SparseMatmulAttrs, sparseMatmul } from './ops/sparse-matmul.ts';
export type { SparseAttrs } from './ops/sparse-spec.ts';
export { sqrt } from './ops/sqrt.ts';
export { stopGradient } from './ops/stop-gradient.ts';
export { sub } from './ops/sub.ts';
export { sum } from './ops/sum.ts';
export { takeAlongAxis } from './ops/take-along-axis.ts';
export { tanh } from './ops/tanh.ts';
export { topK } from './ops/top-k.ts';
export { transpose } from './ops/transpose.ts';
export { isWhole, levelRange } from './ops/whole-rows.ts';
export { checkOptions, mustBe, noOptions, optionProblems, type Rule, type Rules, shown } from './options.ts';
export { buildProgram, type Program, type ProgramSpec } from './program.ts';
export { normalValues, type Random, randomSource, uniformValues } from './random-source.ts';
export { reference } from './reference/executor.ts';
export { describe, type Shape, type Spec, sameShape, shapeError, sizeOf } from './shape.ts';
