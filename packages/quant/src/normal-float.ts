import type { QuantFormat } from './format.ts';
import { type LevelsOptions, levelsFormat } from './levels.ts';

/** Options of `nf2`, `nf3`, `nf4`, `fp4`. */
export interface Nf4Options extends LevelsOptions {
  /** Values that share a scale, along the input dimension; whole bytes of codes. Default 64. */
  readonly blockSize?: number;
  /** Store the scales in 8 bits each. Default true. */
  readonly doubleQuant?: boolean;
}

const defaults = { blockSize: 64, doubleQuant: true };

/**
 * 4-bit NormalFloat: each value is the nearest of 16 quantiles of a normal distribution, times the largest magnitude of its block. With
 * blocks of 64 and double quantisation 4.127 bits a value. The bytes are those of bitsandbytes where rows are whole blocks; else each row
 * begins a new block, where bitsandbytes goes on with the one before. Throws `bad-option`.
 * Dettmers, Pagnoni, Holtzman & Zettlemoyer, 2023 (QLoRA). https://arxiv.org/abs/2305.14314
 */
export const nf4 = (options: Nf4Options = {}): QuantFormat => levelsFormat('nf4', options, defaults);

/**
 * 3-bit NormalFloat: as `nf4`, of 8 quantiles; 3.127 bits a value. Throws `bad-option`.
 * Guo, Greengard, Xing & Kim, 2023 (LQ-LoRA). https://arxiv.org/abs/2311.12023
 */
export const nf3 = (options: Nf4Options = {}): QuantFormat => levelsFormat('nf3', options, defaults);

/**
 * 2-bit NormalFloat: as `nf4`, of 4 quantiles; 2.127 bits a value. Throws `bad-option`.
 * Li, Yu, Liang, He, Karampatziakis, Chen & Zhao, 2023 (LoftQ). https://arxiv.org/abs/2310.08659
 */
export const nf2 = (options: Nf4Options = {}): QuantFormat => levelsFormat('nf2', options, defaults);

/**
 * 4-bit floating point, as bitsandbytes has it: as `nf4`, the levels 0, 1/192, 1/6, 1/4, 1/3, 1/2, 2/3, 1 and their negatives. Throws `bad-option`.
 * Dettmers, Pagnoni, Holtzman & Zettlemoyer, 2023 (QLoRA, FP4). https://arxiv.org/abs/2305.14314
 */
export const fp4 = (options: Nf4Options = {}): QuantFormat => levelsFormat('fp4', options, defaults);
