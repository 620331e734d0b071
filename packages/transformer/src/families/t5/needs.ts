import type { InitKind, TensorNeed, TensorNeeds } from '../../weights.ts';
import type { T5Config } from './config.ts';
import { biasTable, blocksOf, pathIn, type Stack, stacksOf, tokenTable } from './paths.ts';
import type { T5Record } from './record.ts';

/** The tensors of a stack. */
const stackNeeds = (record: T5Record, config: T5Config, stack: Stack): [string, TensorNeed][] => {
  const { hiddenSize: d, intermediateSize, heads, headDim, buckets, gated } = config;
  const inner = heads * headDim;
  const tensor = (path: string, shape: readonly number[], init: InitKind = 'normal'): [string, TensorNeed] => [
    `${path}.weight`,
    { shape, init },
  ];
  const attention = (path: string): [string, TensorNeed][] => [
    tensor(`${path}.q`, [inner, d]),
    tensor(`${path}.k`, [inner, d]),
    tensor(`${path}.v`, [inner, d]),
    tensor(`${path}.o`, [d, inner], 'residual'),
  ];
  const norm = (path: string): [string, TensorNeed] => tensor(path, [d], 'ones');
  const ups = gated ? ['wi_0', 'wi_1'] : ['wi'];
  const blocks = blocksOf(config, stack);
  return [
    ...blocks.flatMap(({ attn, cross, mlp, norms }, i) => [
      ...attention(attn),
      ...(i === 0 || record.biases === 'all' ? [tensor(biasTable(record, blocks, i), [buckets, heads])] : []),
      ...(cross ? attention(cross) : []),
      ...ups.map((name) => tensor(`${mlp}.${name}`, [intermediateSize, d])),
      tensor(`${mlp}.wo`, [d, intermediateSize], 'residual'),
      ...norms.map(norm),
    ]),
    norm(pathIn(config, `${stack}.final_layer_norm`)),
  ];
};

/** The tensors of a T5's towers by Hugging Face name. */
export const t5Needs = (record: T5Record, config: T5Config): TensorNeeds =>
  new Map<string, TensorNeed>([
    [`${tokenTable(config)}.weight`, { shape: [config.vocabSize, config.hiddenSize], init: 'normal' }],
    ...stacksOf(config).flatMap((stack) => stackNeeds(record, config, stack)),
  ]);
