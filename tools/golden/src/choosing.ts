import type { Method } from '@peftjs/core';
import { childTuningD, far, fishMask, gps, ltSft, paFi, sam, sBitfit, sensitivitySpt } from '@peftjs/selective';

/** Methods that choose weights, whose choice Python made too (`make_masks.py`): by the share of weights that it kept. */
export const choosing: Readonly<Record<string, (keep: number) => Method>> = {
  fishMask: (keep) => fishMask({ keep }),
  ltSft: (keep) => ltSft({ keep, steps: 12, learningRate: 1e-3 }),
  paFi: (keep) => paFi({ keep }),
  childTuningD: (keep) => childTuningD({ keep, maxNorm: 0.3 }),
  sam: (keep) => sam({ keep }),
  sensitivitySpt: (keep) => sensitivitySpt({ keep, rank: 1, ratio: 4 }),
  sBitfit: (keep) => sBitfit({ keep, rounds: 2, steps: 12 }),
  uBitfit: (keep) => sBitfit({ keep, rounds: 2, steps: 12, structured: false }),
  far: (keep) => far({ keep, steps: 12, learningRate: 1e-3 }),
  gps: () => gps({ connections: 2 }),
};
