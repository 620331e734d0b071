import type { TensorNeed, TensorNeeds } from '../../weights.ts';
import { layerNeeds } from '../heads.ts';
import type { BartConfig } from './config.ts';
import { type BartRecord, blocksOf, type Stack, sizesOf, tokenTable, unusedPositions } from './record.ts';

/** The tensors of a BART's towers by Hugging Face name. */
export const bartNeeds = ({ normFirst }: BartRecord, config: BartConfig): TensorNeeds => {
  const { hiddenSize: d, vocabSize, maxPositions } = config;
  const table = (path: string, rows: number): [string, TensorNeed] => [
    `${path}.weight`,
    { shape: [rows, d], init: 'normal' },
  ];
  const norm = (path: string): [string, TensorNeed][] => [
    [`${path}.weight`, { shape: [d], init: 'ones' }],
    [`${path}.bias`, { shape: [d], init: 'zeros' }],
  ];
  const stackNeeds = (stack: Stack): [string, TensorNeed][] => [
    table(`model.${stack}.embed_positions`, maxPositions + unusedPositions),
    ...norm(`model.${stack}.layernorm_embedding`),
    ...blocksOf(config, stack).flatMap(({ block, parts }) =>
      parts.flatMap(({ site, path, norm: own }) => [
        ...(site === 'mlp'
          ? [
              ...layerNeeds(`${block}.fc1`, sizesOf(config, stack).inner, d, true),
              ...layerNeeds(`${block}.fc2`, d, sizesOf(config, stack).inner, true),
            ]
          : ['k_proj', 'v_proj', 'q_proj', 'out_proj'].flatMap((name) => layerNeeds(`${path}.${name}`, d, d, true))),
        ...norm(own),
      ]),
    ),
    ...(normFirst ? norm(`model.${stack}.layer_norm`) : []),
  ];
  return new Map([table(tokenTable, vocabSize), ...stackNeeds('encoder'), ...stackNeeds('decoder')]);
};
