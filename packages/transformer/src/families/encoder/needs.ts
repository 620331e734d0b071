import type { TensorNeed, TensorNeeds } from '../../weights.ts';
import { layerNeeds } from '../heads.ts';
import type { EncoderConfig } from './config.ts';
import { positionLayers, spanOf } from './disentangled.ts';
import { blocksOf, type EncoderRecord, embeddingPaths, firstPosition, hasPositions, relativeParts } from './record.ts';

/** The tensors of an encoder's tower by Hugging Face name, in the order of the forward pass. */
export const encoderNeeds = (record: EncoderRecord, config: EncoderConfig): TensorNeeds => {
  const { hiddenSize: d, intermediateSize, vocabSize, maxPositions, tokenTypes, heads } = config;
  const width = config.embeddingSize ?? d;
  const { token, position, type, norm: embeddingNorm } = embeddingPaths(record);
  const table = (path: string, rows: number, dim: number): [string, TensorNeed] => [
    `${path}.weight`,
    { shape: [rows, dim], init: 'normal' },
  ];
  const norm = (path: string, dim: number): [string, TensorNeed][] => [
    [`${path}.weight`, { shape: [dim], init: 'ones' }],
    [`${path}.bias`, { shape: [dim], init: 'zeros' }],
  ];
  const projection = record.projection?.(config);
  const { relativeBias } = record;
  const apart = relativeParts(record, config);
  return new Map([
    table(token, vocabSize, width),
    ...(hasPositions(config) ? [table(position, maxPositions + firstPosition(record, config), width)] : []),
    ...(tokenTypes > 0 ? [table(type, tokenTypes, width)] : []),
    ...norm(embeddingNorm, width),
    ...(projection ? layerNeeds(projection, d, width, true) : []),
    ...(relativeBias ? [table(relativeBias.table, relativeBias.buckets, heads)] : []),
    ...(apart
      ? [table(apart.paths.table, 2 * spanOf(apart.of), d), ...(apart.of.normed ? norm(apart.paths.norm, d) : [])]
      : []),
    ...(record.convolution && config.convolution
      ? [
          ...layerNeeds(record.convolution.layer, d, d * config.convolution.kernel, true),
          ...norm(record.convolution.norm, d),
        ]
      : []),
    ...blocksOf(record, config).flatMap((block) => {
      const { query, key, value, fused, out, attnNorm, up, down, mlpNorm } = block;
      const further = apart ? positionLayers(apart.of, apart.paths, block) : [];
      const added = (path: string): [string, TensorNeed] => [`${path}.weight`, { shape: [1, d], init: 'zeros' }];
      return [
        ...(fused
          ? [...layerNeeds(query, 3 * d, d, false), added(fused.queryBias), added(fused.valueBias)]
          : [query, key, value].flatMap((path) => layerNeeds(path, d, d, true))),
        ...further.flatMap(([path, bias]) => layerNeeds(path, d, d, bias)),
        ...layerNeeds(out, d, d, true),
        ...layerNeeds(up, intermediateSize, d, true),
        ...layerNeeds(down, d, intermediateSize, true),
        ...norm(attnNorm, d),
        ...norm(mlpNorm, d),
      ];
    }),
  ]);
};
