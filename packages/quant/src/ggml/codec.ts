import type { PackedFormat, ScaleMap } from '@peftjs/tensor';
import type { CodeBits } from './code-bits.ts';

/** The names of GGML's types of blocks. */
export type GgmlType =
  | 'Q4_0'
  | 'Q4_1'
  | 'Q5_0'
  | 'Q5_1'
  | 'Q8_0'
  | 'Q2_K'
  | 'Q3_K'
  | 'Q4_K'
  | 'Q5_K'
  | 'Q6_K'
  | 'IQ4_NL'
  | 'IQ4_XS'
  | 'TQ1_0'
  | 'TQ2_0'
  | 'MXFP4'
  | 'NVFP4';

/** Scales and minima of a block, as numbers: of each sub-block; where they are packed, one of the block, and a code of each sub-block. */
export interface BlockScales {
  readonly scale: readonly number[];
  readonly scaleCodes?: readonly number[];
  readonly min?: readonly number[];
  readonly minCodes?: readonly number[];
}

/** A block's values as they will be stored. */
export interface FittedBlock extends BlockScales {
  readonly codes: Uint8Array;
}

/** How one of GGML's blocks lies in a file, and what it holds in terms of packed matrices. https://github.com/ggml-org/ggml (ggml-common.h) */
export interface GgmlCodec {
  /** GGML's number of the type. */
  readonly id: number;
  /** Values of a block, and its bytes. */
  readonly size: number;
  readonly bytes: number;
  readonly format: PackedFormat;
  /** Values of a sub-block, which share a scale. Default: all of the block's. */
  readonly block?: number;
  /** The meaning of the codes of packed scales; absent where scales are not packed. */
  readonly scaleMap?: ScaleMap;
  /** Whether sub-blocks have minima, packed where scales are. Default false. */
  readonly hasMin?: boolean;
  /** Whether scales and minima are f16 in the file. Default true. */
  readonly halfScales?: boolean;
  /** Where the codes lie. */
  readonly codes: CodeBits;
  /** Scales and minima of the block that begins at a byte. */
  readScales(bytes: DataView, at: number): BlockScales;
  writeScales(bytes: DataView, at: number, scales: BlockScales): void;
  /** Chooses scales and codes for the values of a block. */
  fit(values: Float32Array): FittedBlock;
}
