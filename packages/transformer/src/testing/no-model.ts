import { PeftError } from '@peftjs/tensor';
import { type Call, makePass } from '../pass.ts';

/** A call of a layer by itself: in no model, of a pass over nothing. */
export const noModel: Call = {
  pass: makePass({}, 1, false, {}),
  path: 'layer',
  tower: {
    name: 'none',
    attends: 'all',
    tokenTable: 'none',
    hiddenSize: 1,
    heads: 1,
    keyHeads: 1,
    headDim: 1,
    unplacedToken: null,
    takesRows: true,
    normsSums: false,
    reads: { ids: 'ids', mask: 'mask' },
    paths: () => [],
  },
  sequence: { tower: 'none', tokens: 1, mask: null, positions: null, continues: false },
  layer: null,
  stream: null,
  norm: null,
  attended: null,
  over: null,
  linear: (path) => {
    throw new PeftError('no-match', `noModel: there is no layer ${path}`);
  },
};
