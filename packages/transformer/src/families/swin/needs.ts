import type { TensorNeed, TensorNeeds } from '../../weights.ts';
import { layerNeeds } from '../heads.ts';
import { normNeeds } from '../vit/needs.ts';
import type { SwinConfig } from './config.ts';
import { blocksOf, embeddings, gridsOf, lastNorm } from './record.ts';

/** The tensors of the tower, in the order of the forward pass. */
export const swinNeeds = (config: SwinConfig): TensorNeeds => {
  const { embedSize, picture, patch, positions, window, qkvBias, mlpRatio, hiddenSize } = config;
  const [[lines, columns]] = gridsOf(config) as [readonly [number, number]];
  const table = (path: string, rows: number, width: number, init: TensorNeed['init']): [string, TensorNeed] => [
    `${path}.weight`,
    { shape: [rows, width], init },
  ];
  return new Map([
    ...layerNeeds(embeddings.patch, embedSize, picture[0] * patch[0] * patch[1], true),
    ...normNeeds(embeddings.norm, embedSize),
    ...(positions ? [table(embeddings.positions, lines * columns, embedSize, 'zeros')] : []),
    ...blocksOf(config).flatMap(({ attn, mlp, norms, relative, width: d, heads, merging }) => {
      const inner = Math.floor(mlpRatio * d);
      return [
        ...normNeeds(norms[0], d),
        ...['q_proj', 'k_proj', 'v_proj'].flatMap((name) => layerNeeds(`${attn}.${name}`, d, d, qkvBias)),
        table(relative, (2 * window - 1) ** 2, heads, 'zeros'),
        ...layerNeeds(`${attn}.o_proj`, d, d, true),
        ...normNeeds(norms[1], d),
        ...layerNeeds(`${mlp}.fc1`, inner, d, true),
        ...layerNeeds(`${mlp}.fc2`, d, inner, true),
        ...(merging ? [...normNeeds(merging.norm, 4 * d), ...layerNeeds(merging.reduction, 2 * d, 4 * d, false)] : []),
      ];
    }),
    ...normNeeds(lastNorm, hiddenSize),
  ]);
};
