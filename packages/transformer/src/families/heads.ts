import { constant, equal, mul, sub, type Tensor } from '@peftjs/tensor';
import type { ModelConfig } from '../config/model-config.ts';
import { lastKept, rowsAt } from '../pooling.ts';
import type { Path } from '../sites.ts';
import type { Inputs } from '../states.ts';
import type { TensorNeed, TensorNeeds } from '../weights.ts';
import type { HeadSpec } from './family.ts';

/** The tensors of one layer. */
export const layerNeeds = (path: string, outDim: number, inDim: number, bias: boolean): [string, TensorNeed][] => [
  [`${path}.weight`, { shape: [outDim, inDim], init: 'normal' }],
  ...(bias ? ([[`${path}.bias`, { shape: [outDim], init: 'zeros' }]] as [string, TensorNeed][]) : []),
];

/**
 * The head of a language model: a layer over the vocabulary, or the token table itself where they are tied. `shapeOf`: the factor of the logits,
 * given to the rows that the head reads (one with a bias has none), the cap that they are then bent to, and whether there is a bias. Default 1, none
 * and no.
 */
export const languageHead = <C extends ModelConfig>(
  modelClass: string,
  shapeOf: (config: C) => { readonly scale: number; readonly cap: number | null; readonly bias?: boolean } = () => ({
    scale: 1,
    cap: null,
  }),
  layer: Path = 'lm_head',
): HeadSpec<C> => ({
  modelClass,
  layer,
  trained: [],
  needs: (config, vocabSize): TensorNeeds => {
    const all = layerNeeds(layer, vocabSize, config.hiddenSize, shapeOf(config).bias ?? false);
    return new Map(config.tieWordEmbeddings ? all.slice(1) : all);
  },
  features: (_, { main }, _inputs, config) => {
    const { scale } = shapeOf(config);
    return scale === 1 ? main : mul(main, scale);
  },
  cap: (config) => shapeOf(config).cap,
});

/** i32 [batch]: the last token of each text that is neither hidden by the mask nor, where there is none, padding. */
const lastTokens = ({ ids, mask }: Inputs, padId: number | null): Tensor => {
  const [batch, tokens] = ids!.shape as readonly [number, number];
  const kept = mask ?? (padId === null ? null : sub(1, equal(ids!, constant(Int32Array.of(padId), []))));
  if (!kept) return constant(new Int32Array(batch).fill(tokens - 1), [batch]);
  return lastKept(kept);
};

/** The head over every token, with a bias. */
export const tokenHead = (modelClass: string, layer: string): HeadSpec => ({
  modelClass,
  layer,
  trained: [layer],
  needs: ({ hiddenSize }, labels) => new Map(layerNeeds(layer, labels, hiddenSize, true)),
  features: (_, { main }) => main,
});

/** The head over the last real token, without a bias: transformers' `GenericForSequenceClassification`. */
export const lastTokenHead = (modelClass: string): HeadSpec => ({
  modelClass,
  layer: 'score',
  trained: ['score'],
  needs: ({ hiddenSize }, labels) => new Map(layerNeeds('score', labels, hiddenSize, false)),
  features: (_, { main }, inputs, { padId }) => rowsAt(main, lastTokens(inputs, padId)),
});
