import type { ModelShape } from './task.ts';

/** The decoder of the design page: 5.3 million weights. */
export const small: ModelShape = { hidden: 256, layers: 4, heads: 8, keyValueHeads: 8, inner: 688, vocabulary: 4096 };

/** With grouped heads and six layers: 30.7 million weights. */
export const large: ModelShape = { hidden: 576, layers: 6, heads: 9, keyValueHeads: 3, inner: 1536, vocabulary: 8192 };
