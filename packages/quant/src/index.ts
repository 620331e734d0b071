export type { PackedData, QuantFormat } from './format.ts';
export { type Fp8Options, fp8 } from './fp8.ts';
export type { GgmlType } from './ggml/codec.ts';
export { type GgmlFormat, ggml, ggmlTypes } from './ggml/ggml.ts';
export { type IntOptions, int2, int3, int4, int8 } from './integers.ts';
export { fp4, type Nf4Options, nf2, nf3, nf4 } from './normal-float.ts';
export { storedLinear } from './packed-linear.ts';
export { type QuantizeOnOptions, quantize, quantizeOn } from './quantize.ts';
export { storedBytes } from './stored-bytes.ts';
