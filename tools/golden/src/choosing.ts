import type { Examples, Method, State } from '@peftjs/core';
import { rowsOf } from '@peftjs/core/collect';
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

/** The recorded texts, a batch each. */
export const recordedRows = (recorded: State): Examples[] => {
  const integers = (column: string): Int32Array => Int32Array.from(recorded.get(column)!.data);
  const { shape } = recorded.get('ids')!;
  return rowsOf({
    rows: shape[0]!,
    columns: { ids: integers('ids'), labels: integers('labels') },
    shapes: { ids: shape, labels: shape },
  });
};
