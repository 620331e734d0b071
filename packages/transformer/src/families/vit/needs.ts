import type { TensorNeed, TensorNeeds } from '../../weights.ts';
import { layerNeeds } from '../heads.ts';
import type { VitConfig } from './config.ts';
import { blocksOf, extraRows, patchLayer, positionTable, rowsOf, type VitRecord } from './record.ts';

/** The tensors of a tower over patches, in the order of the forward pass. */
export const vitNeeds = (record: VitRecord, config: VitConfig): TensorNeeds => {
  const { hiddenSize: d, intermediateSize, qkvBias, picture, patch } = config;
  const [high, wide] = patch;
  const table = (path: string, rows: number): [string, TensorNeed] => [
    `${path}.weight`,
    { shape: [rows, d], init: 'normal' },
  ];
  const norm = (path: string): [string, TensorNeed][] => [
    [`${path}.weight`, { shape: [d], init: 'ones' }],
    [`${path}.bias`, { shape: [d], init: 'zeros' }],
  ];
  return new Map([
    ...extraRows(record).map((path) => table(path, 1)),
    ...layerNeeds(patchLayer(record), d, picture[0] * high * wide, true),
    table(positionTable(record), rowsOf(record, config)),
    ...blocksOf(record, config).flatMap(({ attn, mlp, norms, scales }) => [
      ...norm(norms[0]),
      ...['q_proj', 'k_proj', 'v_proj'].flatMap((name) => layerNeeds(`${attn}.${name}`, d, d, qkvBias)),
      ...layerNeeds(`${attn}.o_proj`, d, d, true),
      ...norm(norms[1]),
      ...layerNeeds(`${mlp}.fc1`, intermediateSize, d, true),
      ...layerNeeds(`${mlp}.fc2`, d, intermediateSize, true),
      ...(scales ?? []).map((path): [string, TensorNeed] => [`${path}.weight`, { shape: [1, d], init: 'ones' }]),
    ]),
    ...norm(`${record.prefix}.layernorm`),
  ]);
};
