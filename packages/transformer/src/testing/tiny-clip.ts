import type { Tensor } from '@peftjs/tensor';
import { buildModel } from '../families/build.ts';
import type { DualConfig, SideConfig } from '../families/dual/config.ts';
import type { TaskModel } from '../task-model.ts';
import { zeroShot } from '../tasks/image-text.ts';
import type { WeightSource } from '../weights.ts';
import { tinyWeights } from './tiny-weights.ts';

const side: SideConfig = {
  hiddenSize: 8,
  intermediateSize: 10,
  layers: 2,
  heads: 2,
  normEps: 1e-5,
  activation: 'gelu',
};

/** A CLIP small enough for plain loops: towers of unlike width, texts that begin with token 0 and end with token 9. */
const tinyClipConfig: DualConfig = {
  modelType: 'clip',
  text: side,
  vision: { ...side, hiddenSize: 12, picture: [3, 4, 4], patch: 2 },
  projection: 6,
  firstScale: 2,
  hiddenSize: 12,
  layers: 2,
  vocabSize: 13,
  maxPositions: 12,
  tieWordEmbeddings: false,
  bosId: 0,
  eosIds: [9],
  padId: 9,
  architectures: [],
  labels: null,
};

/** Texts of three classes: twice token 5 in place of a context, and a name of one or two tokens. */
const texts: Readonly<Record<string, readonly number[]>> = {
  one: [0, 5, 5, 1, 9],
  two: [0, 5, 5, 2, 7, 9],
  three: [0, 5, 5, 3, 9],
};

/** Random weights that depend on the seed, and a scale by which likenesses tell classes apart. */
const weightsOf = (seed: number): WeightSource => {
  const random = tinyWeights(seed);
  return {
    ...random,
    load: (name, shape) => (name === 'logit_scale.weight' ? () => Float32Array.of(2) : random.load(name, shape)),
  };
};

/** Sizes that both towers may be given. */
type TinyClipSizes = Partial<Pick<SideConfig, 'layers' | 'hiddenSize' | 'intermediateSize'>>;

/** A tiny CLIP that tells pictures apart by the texts of three classes, with random weights that depend on the seed. */
export const tinyClip = (sizes: TinyClipSizes = {}, seed = 0): TaskModel<Tensor> => {
  const { text, vision } = tinyClipConfig;
  const { layers = tinyClipConfig.layers, hiddenSize = tinyClipConfig.hiddenSize } = sizes;
  const config: DualConfig = {
    ...tinyClipConfig,
    layers,
    hiddenSize,
    text: { ...text, ...sizes },
    vision: { ...vision, ...sizes },
  };
  const labels = Object.keys(texts);
  const task = zeroShot({ labels, texts: labels, encode: (name) => texts[name]!, padId: 9 });
  return buildModel(config, weightsOf(seed), task);
};
