import type { TensorNeed, TensorNeeds } from '../../weights.ts';
import { layerNeeds } from '../heads.ts';
import type { VitConfig } from './config.ts';
import {
  blocksOf,
  extraRows,
  hasPositions,
  lastNorm,
  patchLayer,
  positionTable,
  relativeTables,
  rowsOf,
  type VitRecord,
} from './record.ts';
import { relativeRows } from './relative.ts';

/** The tensors of a norm of rows of a width. */
export const normNeeds = (path: string, width: number): [string, TensorNeed][] => [
  [`${path}.weight`, { shape: [width], init: 'ones' }],
  [`${path}.bias`, { shape: [width], init: 'zeros' }],
];

/** The tensors of a tower over patches, in the order of the forward pass. */
export const vitNeeds = (record: VitRecord, config: VitConfig): TensorNeeds => {
  const { hiddenSize: d, intermediateSize, heads, qkvBias, picture, patch, beit } = config;
  const last = lastNorm(record, config);
  const scale: TensorNeed['init'] = beit ? beit.scale : 'ones';
  const [high, wide] = patch;
  const table = (path: string, rows: number): [string, TensorNeed] => [
    `${path}.weight`,
    { shape: [rows, d], init: 'normal' },
  ];
  const norm = (path: string): [string, TensorNeed][] => normNeeds(path, d);
  return new Map([
    ...extraRows(record).map((path) => table(path, 1)),
    ...layerNeeds(patchLayer(record), d, picture[0] * high * wide, true),
    ...(hasPositions(config) ? [table(positionTable(record), rowsOf(record, config))] : []),
    ...relativeTables(record, config).map((path): [string, TensorNeed] => [
      `${path}.weight`,
      { shape: [relativeRows(config), heads], init: 'zeros' },
    ]),
    ...blocksOf(record, config).flatMap(({ attn, mlp, norms, scales }) => [
      ...norm(norms[0]),
      ...['q_proj', 'k_proj', 'v_proj'].flatMap((name) =>
        layerNeeds(`${attn}.${name}`, d, d, qkvBias && !(beit && name === 'k_proj')),
      ),
      ...layerNeeds(`${attn}.o_proj`, d, d, true),
      ...norm(norms[1]),
      ...layerNeeds(`${mlp}.fc1`, intermediateSize, d, true),
      ...layerNeeds(`${mlp}.fc2`, d, intermediateSize, true),
      ...(scales ?? []).map((path): [string, TensorNeed] => [`${path}.weight`, { shape: [1, d], init: scale }]),
    ]),
    ...(last ? norm(last) : []),
  ]);
};
