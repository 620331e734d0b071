import { describeMethod, describeMethods, type OnFamilies, sumOver } from '@peftjs/testkit';
import type { TaskModel } from '@peftjs/transformer';
import * as family from '../src/index.ts';

const on: OnFamilies = { families: ['vit', 'llama', 'gpt2', 'bert', 't5', 'swin'] };

/** For models whose blocks are alike. */
const stages = ({ layout: { modelType } }: TaskModel): RegExp | null =>
  modelType === 'swin' ? /is for models whose blocks are alike, and those of swin are of the widths 4, 8/ : null;

/** For pictures alone, whose patches all blocks read. */
const refusesStages = (model: TaskModel): RegExp | null => stages(model) ?? refuses(model);

/** Widths of the rows that the MLPs read, together. */
const widths = (model: TaskModel): number => model.paths('mlp').reduce((n, path) => n + model.widthAt(path), 0);

/** For pictures alone. */
const refuses = ({ main }: TaskModel): RegExp | null =>
  main.reads.picture ? null : /is for models that read pictures/;

/** Layers of FacT: of a decoder those alone that are squares. */
const target = ({ layout: { modelType } }: TaskModel): { readonly target?: readonly string[] } => {
  if (modelType === 'llama') return { target: ['o_proj'] };
  if (modelType === 'gpt2') return { target: ['c_attn', 'attn.c_proj'] };
  if (modelType === 'bert') return { target: ['query', 'value'] };
  return {};
};

/** T5's heads are of another width together than its stream. */
const oddHeads = ({ towers }: TaskModel): RegExp | null =>
  towers.length > 1
    ? /its updates are squares of the width 8 above or beside each other; leave it out of target/
    : null;

/** Squares of the layers that FacT changes. */
const squares = (model: TaskModel): number => {
  const { hiddenSize: d } = model.main;
  const names = target(model).target ?? ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'fc1', 'fc2'];
  const changed = [...model.linears].filter(([path]) => names.some((name) => path.endsWith(`.${name}`)));
  return changed.reduce((n, [, { inDim, outDim }]) => n + (inDim / d) * (outDim / d), 0);
};

/** The last layer of each attention. */
const outputs = /.*\.(o_proj|attn\.c_proj|attention\.output\.dense|SelfAttention\.o)/;

/** Outputs of the task's head. */
const headWidth = ({ linears, trainedHeads }: TaskModel): number => linears.get(trainedHeads[0]!)!.outDim;

/** For texts beside pictures alone. */
const refusesOne = ({ towers }: TaskModel): RegExp | null =>
  towers.some(({ reads }) => reads.picture) && towers.some(({ reads }) => !reads.picture)
    ? null
    : /is for models that compare pictures with texts/;

describeMethods(
  family,
  {
    vpt: {
      options: { length: 3 },
      parameters: ({ main }) => 3 * main.hiddenSize,
      identity: false,
      refuses: refusesStages,
    },
    adaptFormer: {
      options: { bottleneck: 3, scale: 'learned' },
      parameters: (model) => (2 * 3 + 1) * widths(model) + 4 * model.paths('mlp').length,
    },
    convpass: {
      options: { bottleneck: 3, scale: 2 },
      parameters: ({ main: { hiddenSize: d }, paths }) => 2 * paths('block').length * (2 * 3 * d + 3 + d + 9 * 9 + 3),
      refuses: refusesStages,
    },
    binaryAdapter: {
      options: { bottleneck: 3, scale: 3 },
      parameters: (model) => 2 * 3 * widths(model),
      identity: false,
      detaches: 'part', // straight through the levels
    },
    vqt: {
      options: { length: 1 },
      parameters: (model) => model.paths('block').length * model.main.hiddenSize * (1 + headWidth(model)),
      identity: false,
      atOnce: /attach all methods in one list/,
      refuses: refusesStages,
    },
    // Any layer stands in for CLIP's.
    clipAdapter: {
      options: { target: outputs, reduction: 3, ratio: 0.6 },
      parameters: (model) => sumOver(model, outputs, (_, outDim) => 2 * outDim * Math.floor(outDim / 3)),
      identity: false,
    },
    coCoOp: { options: { length: 2 }, parameters: () => 0, identity: false, refuses: refusesOne },
    coOp: { options: { length: 2 }, parameters: () => 0, identity: false, refuses: refusesOne },
    maple: { options: { length: 2 }, parameters: () => 0, identity: false, refuses: refusesOne },
    tipAdapter: { options: {}, parameters: () => 0, identity: false, refuses: refusesOne },
    factTt: {
      options: (model) => ({ rank: 3, scale: 2, ...target(model) }),
      parameters: (model) => 2 * 3 * model.main.hiddenSize + 9 * squares(model),
      refuses: (model) => oddHeads(model) ?? stages(model),
    },
    factTk: {
      options: (model) => ({ rank: 3, scale: 2, ...target(model) }),
      parameters: (model) => 2 * 3 * model.main.hiddenSize + 27 + 3 * squares(model),
      refuses: (model) => oddHeads(model) ?? stages(model),
    },
  },
  on,
);

// A prompt in each layer.
describeMethod(
  family.vpt,
  {
    options: { length: 2, deep: true },
    parameters: ({ main, paths }) => 2 * paths('block').length * main.hiddenSize,
    identity: false,
  },
  { families: ['vit'] },
);

// Bypasses of attention alone.
describeMethod(
  family.convpass,
  {
    options: { bottleneck: 2, init: 'xavier', sublayers: ['attn'] },
    parameters: ({ main: { hiddenSize: d }, paths }) => paths('block').length * (2 * 2 * d + 2 + d + 4 * 9 + 2),
  },
  { families: ['vit'] },
);

// Three bits, which do not fill a byte.
describeMethod(
  family.binaryAdapter,
  {
    options: { bottleneck: 2, bits: 3, scale: 3 },
    parameters: (model) => model.paths('mlp').length * 2 * 2 * model.main.hiddenSize,
    identity: false,
    detaches: 'part',
  },
  { families: ['vit'] },
);

const onClip: OnFamilies = { families: ['clip'] };

describeMethod(
  family.coOp,
  {
    options: { length: 2 },
    parameters: ({ towers }) => 2 * towers[0].hiddenSize,
    identity: false,
    learningRate: 0.1,
  },
  onClip,
);

// A context, and a net of two layers from a picture's vector to a row.
describeMethod(
  family.coCoOp,
  {
    options: { length: 2, reduction: 2 },
    parameters: ({ towers: [{ hiddenSize: d }], pairSize }) => {
      const inner = Math.floor(pairSize! / 2);
      return 2 * d + inner * (pairSize! + 1) + d * (inner + 1);
    },
    identity: false,
    learningRate: 0.1,
  },
  onClip,
);

// A context for each of the three classes, in the place of words that it begins as.
describeMethod(
  family.coOp,
  {
    options: { words: [5, 5], classes: 3 },
    parameters: ({ towers }) => 3 * 2 * towers[0].hiddenSize,
    learningRate: 0.1,
  },
  onClip,
);

// Prompts in both blocks of either tower.
describeMethod(
  family.maple,
  {
    options: { length: 2 },
    parameters: ({ towers: [texts, pictures] }) => {
      const [d, wide] = [texts.hiddenSize, pictures!.hiddenSize];
      return texts.paths('block').length * (2 * d + wide * d + wide);
    },
    identity: false,
    learningRate: 0.1,
  },
  onClip,
);

// Four pictures that the laws show it.
describeMethod(
  family.tipAdapter,
  {
    options: { alpha: 0.5, beta: 2 },
    parameters: ({ linears }) => 4 * linears.get('visual_projection')!.outDim,
    identity: false,
  },
  onClip,
);
