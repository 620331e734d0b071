import { type Factory, methods } from '@peftjs/cli/shared';

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
  hyperformer: 'is for several tasks',
  hyperformerPlusPlus: 'is for several tasks',
  iptSpace: 'is a space of several tasks’ prompts',
  loftq: 'begins from a quantised base',
  maple: 'is for the texts and pictures of CLIP',
  moeLora: 'is for several tasks',
  mtLora: 'is for several tasks',
  mtlLora: 'is for several tasks',
  multitaskPromptTuning: 'is for several tasks',
  noah: 'is for models of pictures',
  noahSupernet: 'is searched for its parts',
  pasta: 'trains the vectors of special tokens, which the text has none of',
  pha: 'is for several tasks',
  poly: 'is for several tasks',
  shadow: 'has a whole block beside the base, ten times as many values as the others',
  tipAdapter: 'is for the vectors of CLIP',
  tokenTuning: 'trains rows of chosen tokens',
  tpt: 'takes prompts from another model',
  vpt: 'is for models of pictures',
  vqt: 'is for models of pictures',
  xattn: 'is for models with cross-attention',
};

/** Methods that the task tries: all that have something to learn from a text alone, those that fold into the weights first. */
export const tried = (): string[] =>
  [...methods.values()]
    .sort((a, b) => Number(b.merges) - Number(a.merges))
    .map(({ name }) => name)
    .filter((name) => !(name in leftOut));

const wholeGradient =
  'takes its share of the gradient of all weights of a layer, a product as large as the layer’s own';
const rowsInFront = 'puts 64 rows in front of texts of 64 tokens, twice as many to compute';
const wideVectors = 'has products of rank 256 in layers that are 256 wide';

/** The work that makes a step take more than one and a half times LoRA's. */
export const slowSteps: Readonly<Record<string, string>> = {
  adaMix: 'takes every example twice, through two draws of its experts, for the loss of their agreement',
  boft: 'turns the input of each layer by blocks of 8 × 8, whose rotations are computed anew, and puts it into another order and back',
  c3a: 'forms the matrix of circulant blocks anew, and its whole gradient',
  childTuningD: wholeGradient,
  childTuningF: wholeGradient,
  diffPruning: 'draws a gate for every weight, and has its gradient',
  fishDip: wholeGradient,
  fishMask: wholeGradient,
  fourierft: 'is applied as a product of rank 2n, 500 here, whose waves are computed anew',
  frod: 'has two products with whole matrices beside each layer, twice its work',
  gps: wholeGradient,
  kAdaptation: 'is applied as four narrow products a layer, where LoRA has two',
  krona:
    'has products of narrow matrices for each of a row’s parts, and turns two tensors of the size of the layer’s output',
  lokr: 'has three narrow products for each of a row’s parts, and turns two tensors of the size of the layer’s output',
  lorta: 'has products of a rank as wide as the layers',
  ltSft: wholeGradient,
  monteclora: 'draws several matrices for each A, and has the loss of their distribution',
  paFi: wholeGradient,
  promptTuning: rowsInFront,
  psoft: 'turns by a rotation of 72 × 72 in each layer, whose inverse is found by Newton’s iteration',
  pvera: `${wideVectors}, and draws noise`,
  randlora: 'has two products whose inner size is that of the layer, of bases that are scaled anew',
  said: 'projects one vector to every weight of each layer, through two Walsh–Hadamard transforms and a permutation',
  sam: wholeGradient,
  shira: wholeGradient,
  smop: rowsInFront,
  supertuning: wholeGradient,
  vera: wideVectors,
  waveft: 'transforms each layer’s input and output by wavelets, around a product with a sparse matrix',
  xPrompt: rowsInFront,
};

/** Why a method ends above the base. */
export const aboveBase: Readonly<Record<string, string>> = {
  ciat: 'begins far above it, as its authors’ first values of all matrices have it, and these steps are too few to come back',
  infoPrompt:
    'has a narrow random layer before the head, made for classifiers that are trained with it, and through which the base’s head says nothing at first',
  loraPrune: 'prunes half of the base’s MLPs and attentions in these steps, and what is left is as much smaller',
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
