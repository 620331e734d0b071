import { add, attention, broadcastTo, exp, reshape, slice, type Tensor } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import { joinHeads, splitHeads } from '../../heads.ts';
import type { Model } from '../../model.ts';
import { lastRow } from '../../pooling.ts';
import type { Inputs, States } from '../../states.ts';
import type { Pair } from '../../tasks/task.ts';
import { layerNeeds } from '../heads.ts';
import type { DualConfig } from './config.ts';
import { normNeeds } from './needs.ts';
import { type DualHead, dualPaths } from './record.ts';

const textLayer = 'text_model.head';

/** The pooling of a picture's rows; queries, keys and values are one layer. */
const pool = {
  probe: 'vision_model.head.probe',
  qkv: 'vision_model.head.attention.in_proj',
  out: 'vision_model.head.attention.out_proj',
  norm: 'vision_model.head.layernorm',
  up: 'vision_model.head.mlp.fc1',
  down: 'vision_model.head.mlp.fc2',
} as const;

/** One learned row attends to all rows of a picture, and goes through an MLP: [pictures, rows, d] -> [pictures, d]. transformers, `SiglipMultiheadAttentionPoolingHead`. */
const pooled = (model: Model, states: States, rows: Tensor, { vision }: DualConfig): Tensor => {
  const [batch, , d] = rows.shape as readonly [number, number, number];
  const linear = (path: string, x: Tensor): Tensor => model.linears.get(path)!.apply(x, states.call(path, 'vision'));
  const part = (x: Tensor, index: number): Tensor =>
    splitHeads(slice(x, { axis: 2, start: index * d, end: (index + 1) * d }), d / vision.heads);
  const probe = broadcastTo(model.embeddings.get(pool.probe)!.weight, [batch, 1, d]);
  const all = linear(pool.qkv, rows);
  const seen = attention(part(linear(pool.qkv, probe), 0), part(all, 1), part(all, 2), { causal: false });
  const x = linear(pool.out, joinHeads(seen));
  const { norm, up, down } = pool;
  const normed = model.norms.get(norm)!.apply(x, states.call(norm, 'vision'));
  const y = add(x, linear(down, activations[vision.activation](linear(up, normed))));
  return reshape(y, [batch, d]);
};

/** SigLIP's vectors: of a text its last token's row through a layer, of a picture what a learned row sees of it. */
const pair = (model: Model, states: States, _: Inputs, config: DualConfig): Pair => {
  const [text, image] = [states.byTower.get('text'), states.byTower.get('vision')];
  const value = (path: string): Tensor => reshape(model.embeddings.get(path)!.weight, []);
  return {
    text: text ? model.linears.get(textLayer)!.apply(lastRow(text), states.call(textLayer, 'text')) : null,
    image: image ? pooled(model, states, image, config) : null,
    scale: exp(value(dualPaths.scale)),
    bias: value(dualPaths.bias),
    decides: 'sigmoid',
  };
};

const pictureNeeds: DualHead['pictureNeeds'] = ({ vision: { hiddenSize: d, intermediateSize } }) => [
  [`${pool.probe}.weight`, { shape: [1, d], init: 'normal' }],
  ...layerNeeds(pool.qkv, 3 * d, d, true),
  ...layerNeeds(pool.out, d, d, true),
  ...normNeeds(pool.norm, d),
  ...layerNeeds(pool.up, intermediateSize, d, true),
  ...layerNeeds(pool.down, d, intermediateSize, true),
];

/** SigLIP's head. The last token may be one that fills the text up: texts are as long as they were in pretraining. */
export const pooledHead: DualHead = {
  needs: (config) => [
    ...layerNeeds(textLayer, config.projection, config.text.hiddenSize, true),
    ...pictureNeeds(config),
    // The first values of its paper: scale 10, bias −10.
    [`${dualPaths.scale}.weight`, { shape: [1, 1], init: Math.log(10) }],
    [`${dualPaths.bias}.weight`, { shape: [1, 1], init: -10 }],
  ],
  pictureNeeds,
  tables: [pool.probe, dualPaths.scale, dualPaths.bias],
  names: [
    [/^(logit_scale|logit_bias)\.weight$/, '$1'],
    [/\.probe\.weight$/, '.probe'],
    [/\.in_proj\.(weight|bias)$/, '.in_proj_$1'],
  ],
  shapes: {
    'logit_scale.weight': () => [1],
    'logit_bias.weight': () => [1],
    [`${pool.probe}.weight`]: (d) => [1, 1, d],
  },
  roles: [
    { role: 'pooling', name: 'head.attention.in_proj' },
    { role: 'pooling', name: 'head.attention.out_proj' },
  ],
  endsTexts: false,
  projection: (_, ofTexts, ofPictures, problems) => {
    if (ofTexts !== ofPictures)
      problems.push(`text_config: projection_size ${ofTexts} is not the hidden_size ${ofPictures} of vision_config`);
    return ofPictures;
  },
  pair,
};
