import type { Factory } from '@peftjs/cli/shared';

/** Methods that are not in the table, and why. */
export const leftOut: Readonly<Record<string, string>> = {
  adapterFusion: 'combines adapters of several tasks',
  alora: 'works after an invocation, which the text has none of',
  attempt: 'combines prompts of several tasks',
  bitDelta: 'packs a model that was tuned before',
  clipAdapter: 'is for the vectors of CLIP',
  coCoOp: 'is for the texts and pictures of CLIP',
  coOp: 'is for the texts of CLIP',
  convpass: 'is for models of pictures',
  coda: 'is for encoders',
  cpt: 'is made of examples in context',
  factTk: 'is for layers of one width, which grouped keys are not of',
  factTt: 'is for layers of one width, which grouped keys are not of',
  gated: 'puts a gate at another method',
  loftq: 'begins from a quantised base',
  maple: 'is for the texts and pictures of CLIP',
  moeLora: 'is for several tasks',
  mtlLora: 'is for several tasks',
  multitaskPromptTuning: 'is for several tasks',
  pasta: 'trains the vectors of special tokens, which the text has none of',
  poly: 'is for several tasks',
  shadow: 'has a whole block beside the base, ten times as many values as the others',
  tipAdapter: 'is for the vectors of CLIP',
  tokenTuning: 'trains rows of chosen tokens',
  vpt: 'is for models of pictures',
  vqt: 'is for models of pictures',
  xattn: 'is for models with cross-attention',
};

/** Where the grid of rates begins: 5 is 3.2e-3. */
const usual = 5;

/** Where it begins for others: methods that train weights themselves want less, vectors that all weights share want more. */
const firstPlaces: Readonly<Record<string, number>> = {
  childTuningD: 3,
  childTuningF: 3,
  diffPruning: 3,
  fishDip: 3,
  osf: 3,
  c3a: 8,
  apt: 7,
  cartridge: 7,
  dePt: 8,
  prefixTuning: 7,
  promptTuning: 8,
  smop: 8,
  unilora: 6,
  vera: 7,
  pvera: 7,
  xPrompt: 8,
};

/** The first rate that is tried, as a place in the grid. */
export const firstPlaceOf = ({ name }: Factory): number => firstPlaces[name] ?? usual;
