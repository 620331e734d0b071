import type { InitKind, TensorNeed, TensorNeeds } from '../../weights.ts';
import type { BertConfig } from './config.ts';

/** The linear layers of one block: path within it, and what its tensors are. */
const blockLinears = ({
  hiddenSize: d,
  intermediateSize,
}: BertConfig): readonly (readonly [path: string, outDim: number, inDim: number, init: InitKind])[] => [
  ['attention.self.query', d, d, 'normal'],
  ['attention.self.key', d, d, 'normal'],
  ['attention.self.value', d, d, 'normal'],
  ['attention.output.dense', d, d, 'normal'],
  ['intermediate.dense', intermediateSize, d, 'normal'],
  ['output.dense', d, intermediateSize, 'normal'],
];

/** The tensors of a BERT's tower by Hugging Face name, in the order of the forward pass. */
export const bertNeeds = (config: BertConfig): TensorNeeds => {
  const { hiddenSize, vocabSize, maxPositions, tokenTypes, layers } = config;
  const tables = [
    ['word', vocabSize],
    ['position', maxPositions],
    ['token_type', tokenTypes],
  ] as const;
  const needs = new Map<string, TensorNeed>(
    tables.map(([name, rows]) => [
      `bert.embeddings.${name}_embeddings.weight`,
      { shape: [rows, hiddenSize], init: 'normal' },
    ]),
  );
  const norm = (path: string): void => {
    needs.set(`${path}.weight`, { shape: [hiddenSize], init: 'ones' });
    needs.set(`${path}.bias`, { shape: [hiddenSize], init: 'zeros' });
  };
  norm('bert.embeddings.LayerNorm');
  for (let layer = 0; layer < layers; layer++) {
    const block = `bert.encoder.layer.${layer}`;
    for (const [path, outDim, inDim, init] of blockLinears(config)) {
      needs.set(`${block}.${path}.weight`, { shape: [outDim, inDim], init });
      needs.set(`${block}.${path}.bias`, { shape: [outDim], init: 'zeros' });
    }
    norm(`${block}.attention.output.LayerNorm`);
    norm(`${block}.output.LayerNorm`);
  }
  return needs;
};
