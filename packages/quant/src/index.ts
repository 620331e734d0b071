export type { PackedData, QuantFormat } from './format.ts';
export { type Int8Options, int8 } from './int8.ts';
export { type Nf4Options, nf4 } from './nf4.ts';
export { type QuantizeOnOptions, quantize, quantizeOn } from './quantize.ts';
export { storedBytes } from './stored-bytes.ts';
