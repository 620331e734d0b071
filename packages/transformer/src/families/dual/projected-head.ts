import { argmax, cast, constant, equal, exp, PeftError, reshape, type Tensor } from '@peftjs/tensor';
import type { Model } from '../../model.ts';
import { firstRow, rowsAt } from '../../pooling.ts';
import type { Inputs, States } from '../../states.ts';
import type { Pair } from '../../tasks/task.ts';
import { layerNeeds } from '../heads.ts';
import type { DualConfig } from './config.ts';
import { type DualHead, dualPaths } from './record.ts';

const textLayer = 'text_projection';
const visionLayer = 'visual_projection';

/** Configs of the first files have this as the end of a text, which is another token there: its number is the largest. */
const misnamedEnd = 2;

/** Throws `bad-data` for texts without the token that stands for the whole of each; ids that are fed cannot be looked at here. */
const requireEnds = ({ node, shape }: Tensor, end: number): void => {
  if (node.kind !== 'constant') return;
  const tokens = shape[1]!;
  for (let row = 0; row < shape[0]!; row++)
    if (!node.data.subarray(row * tokens, (row + 1) * tokens).includes(end as never))
      throw new PeftError(
        'bad-data',
        `model: the text in row ${row} of ids has no end (token ${end}), whose row stands for the text; give whole texts, as the tokenizer makes them`,
      );
};

/** i32 [texts]: the place of the first token that ends each text. */
const endsOf = (ids: Tensor, { eosIds: [end] }: DualConfig): Tensor => {
  if (end === misnamedEnd) return argmax(cast(ids, { dtype: 'f32' }), { axis: 1 });
  requireEnds(ids, end!);
  return argmax(equal(ids, constant(Int32Array.of(end!), [])), { axis: 1 });
};

/** CLIP's vectors: of a text its end's row, of a picture the class's, both through a layer without bias. */
const projectedPair = (model: Model, states: States, inputs: Inputs, config: DualConfig): Pair => {
  const [text, image] = [states.byTower.get('text'), states.byTower.get('vision')];
  const project = (path: string, tower: string, rows: Tensor): Tensor =>
    model.linears.get(path)!.apply(rows, states.call(path, tower));
  return {
    text: text ? project(textLayer, 'text', rowsAt(text, endsOf(inputs['ids']!, config))) : null,
    image: image ? project(visionLayer, 'vision', firstRow(image)) : null,
    scale: exp(reshape(model.embeddings.get(dualPaths.scale)!.weight, [])),
    bias: null,
    decides: 'softmax',
  };
};

/** CLIP's head: a layer without bias for each tower, and the scale as a logarithm. */
export const projectedHead: DualHead = {
  needs: ({ text, vision, projection, firstScale }) => [
    ...layerNeeds(visionLayer, projection, vision.hiddenSize, false),
    ...layerNeeds(textLayer, projection, text.hiddenSize, false),
    [`${dualPaths.scale}.weight`, { shape: [1, 1], init: firstScale }],
  ],
  pictureNeeds: () => [],
  tables: [dualPaths.scale],
  names: [[/^logit_scale\.weight$/, 'logit_scale']],
  shapes: { 'logit_scale.weight': () => [] },
  roles: [],
  endsTexts: true,
  projection: (whole = 512) => whole,
  pair: projectedPair,
};
