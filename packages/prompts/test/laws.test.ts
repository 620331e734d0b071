import { describeMethod, describeMethods } from '@peftjs/testkit';
import type { TaskModel } from '@peftjs/transformer';
import * as family from '../src/index.ts';

/** Values of m keys and as many values in every layer: in an encoder-decoder those of the decoder. */
const prefixSize = ({ config, main }: TaskModel, m: number): number =>
  m * 2 * config.layers * main.keyHeads * main.headDim;

/** Values of m keys and as many values at every attention. */
const prefixesSize = ({ main, paths }: TaskModel, m: number): number =>
  m * 2 * (paths('kv').length + paths('crossKv').length) * main.keyHeads * main.headDim;

/** Prefixes and MLPs that make them: one for each kind of attention. */
const kindsOf = ({ towers }: TaskModel): number => (towers.length > 1 ? 3 : 1);

/** These are of one tower. */
const refuses = ({ towers }: TaskModel): RegExp | null => (towers.length > 1 ? /: is for models of one tower/ : null);

describeMethods(family, {
  promptTuning: {
    options: { length: 3 },
    parameters: ({ config }) => 3 * config.hiddenSize,
    identity: false,
  },
  prefixTuning: {
    options: { length: 3 },
    parameters: (model) => prefixSize(model, 3),
    identity: false,
  },
  adapterHubPrefixTuning: {
    options: { length: 3, bottleneck: 5 },
    parameters: (model) =>
      kindsOf(model) * (3 * model.config.hiddenSize + 5 * (model.config.hiddenSize + 1)) + prefixesSize(model, 1) * 6,
    identity: false,
  },
  adaptionPrompt: {
    options: { length: 3, layers: 1 },
    parameters: ({ config }) => 3 * config.hiddenSize + 1,
    learningRate: 0.3,
    refuses,
  },
  llamaAdapter: {
    options: { length: 3 },
    parameters: ({ config: { layers, hiddenSize }, main }) => layers * (3 * hiddenSize + main.heads),
    learningRate: 0.3,
    refuses,
  },
  aPrompt: {
    options: { length: 2, keyValues: 3, queryKeys: 2, context: 9 },
    parameters: ({ config: { layers, hiddenSize }, main }) =>
      layers * (2 * hiddenSize + 2 * 3 * main.keyHeads * main.headDim + 2 * (9 + 3 + 2 + 9)),
    identity: false,
    refuses,
  },
  cpt: {
    options: {
      tokens: [4, 7, 2, 9, 1],
      parts: [1, 2, 3, 4, 5],
      decay: 0.5,
      inputRadius: 30,
      formatRadius: 30,
    },
    parameters: ({ config }) => 5 * config.hiddenSize,
    identity: false,
    detaches: 'part',
    refuses: ({ towers, main }) => (towers.length > 1 || main.attends !== 'before' ? /cpt: is for decoders/ : null),
  },
  dePt: {
    options: { length: 3, rank: 2, context: 8 },
    parameters: ({ config: { hiddenSize: d } }) => 3 * d + 8 * 2 + 2 * d,
    identity: false,
  },
  apt: {
    options: { length: 3 },
    parameters: (model) => prefixSize(model, 3) + model.config.layers * (3 * model.config.hiddenSize + 1),
    identity: false,
    causal: false,
    refuses,
  },
  idpg: {
    options: { length: 3, bottleneck: 4, dimension: 2 },
    parameters: ({ config: { hiddenSize: d } }) => 8 + (d * 4) / 2 + 4 + 8 + (4 * 3 * d) / 2 + 3 * d,
    identity: false,
    causal: false,
  },
  infoPrompt: {
    options: { length: 2, bottleneck: 4, representation: 0.1, prior: 0.05 },
    parameters: ({ config: { hiddenSize: d } }) => 4 * (d + 1) + 2 * d * 5 + 2 * 4 * (d + 1) + 5 * d + d * (d + 1),
    identity: false,
    causal: false,
    detaches: 'part',
    refuses: ({ towers }) => (towers.length > 1 ? /infoPrompt: is for models of one tower/ : null),
  },
  ipt: {
    options: { length: 3, dimension: 2, inner: 4 },
    parameters: () => 2,
    identity: false,
    learningRate: 0.3,
  },
  lpt: {
    options: { length: 3, bottleneck: 4 },
    parameters: ({ config: { hiddenSize: d } }) => 4 * (d + 1) + 3 * d * (4 + 1),
    identity: false,
    causal: false,
    refuses,
  },
  selectivePromptTuning: {
    options: { length: 3 },
    parameters: ({ config: { layers, hiddenSize } }) => layers * (3 * hiddenSize + 1),
    identity: false,
    refuses,
  },
  smop: {
    options: { length: 2, prompts: 3 },
    parameters: ({ config: { hiddenSize: d } }) => 2 * 3 * d + 3 * d,
    identity: false,
    causal: false,
    detaches: 'part',
  },
  xPrompt: {
    options: { length: 4, pieces: 2, tokensAt: 1, piecesAt: 2, tokenShare: 0.25, pieceShare: 0.25 },
    parameters: ({ config }) => 4 * config.hiddenSize,
    identity: false,
    learningRate: 0.1,
  },
  cartridge: {
    options: { length: 3 },
    parameters: (model) => prefixSize(model, 3),
    identity: false,
    detaches: 'part',
  },
  pTuning: {
    options: { length: 3, hidden: 6 },
    parameters: ({ config: { hiddenSize: d } }) => 3 * d + 6 * (d + 1) + 6 * (6 + 1) + d * (6 + 1),
    identity: false,
  },
});

// An MLP makes the prefix.
describeMethod(family.prefixTuning, {
  options: { length: 3, bottleneck: 5 },
  parameters: (model) => {
    const width = model.main.keyHeads * model.main.headDim;
    return 3 * width + 5 * (width + 1) + prefixSize(model, 1) * (5 + 1);
  },
  identity: false,
});

// An LSTM makes the prompt.
describeMethod(family.pTuning, {
  options: { length: 3, hidden: 2, encoder: 'lstm' },
  parameters: ({ config: { hiddenSize: d } }) => {
    const layer = (inDim: number): number => 2 * (8 * inDim + 8 * 2 + 2 * 8);
    return 3 * d + layer(d) + layer(4) + 4 * (4 + 1) + d * (4 + 1);
  },
  identity: false,
});

// Of a layer that was chosen.
describeMethod(family.selectivePromptTuning, {
  options: { length: 3, layers: [1] },
  parameters: ({ config }) => 3 * config.hiddenSize,
  identity: false,
  refuses,
});

// With plain matrices.
describeMethod(family.idpg, {
  options: { length: 2, bottleneck: 3 },
  parameters: ({ config: { hiddenSize: d } }) => 3 * (d + 1) + 2 * d * (3 + 1),
  identity: false,
  causal: false,
});

// Its gates are a mean over whole sequences.
describeMethod(family.adapterHubPrefixTuning, {
  options: { length: 3, flat: true, gating: true },
  parameters: (model) =>
    prefixesSize(model, 3) + (model.paths('kv').length + model.paths('crossKv').length) * (model.config.hiddenSize + 1),
  identity: false,
  causal: false,
});
