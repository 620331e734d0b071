import type { InitKind, TensorNeed, TensorNeeds } from '../../weights.ts';
import type { Gpt2Config } from './config.ts';

/** The linear layers of one block: path within it, and what its tensors are. */
const blockLinears = ({
  hiddenSize,
  intermediateSize,
}: Gpt2Config): readonly (readonly [path: string, outDim: number, inDim: number, init: InitKind])[] => [
  ['attn.c_attn', 3 * hiddenSize, hiddenSize, 'normal'],
  ['attn.c_proj', hiddenSize, hiddenSize, 'residual'],
  ['mlp.c_fc', intermediateSize, hiddenSize, 'normal'],
  ['mlp.c_proj', hiddenSize, intermediateSize, 'residual'],
];

/** The tensors of a GPT-2's tower by Hugging Face name, matrices as [out, in], in the order of the forward pass. */
export const gpt2Needs = (config: Gpt2Config): TensorNeeds => {
  const { vocabSize, hiddenSize, layers, maxPositions } = config;
  const needs = new Map<string, TensorNeed>([
    ['transformer.wte.weight', { shape: [vocabSize, hiddenSize], init: 'normal' }],
    ['transformer.wpe.weight', { shape: [maxPositions, hiddenSize], init: 'normal' }],
  ]);
  const norm = (path: string): void => {
    needs.set(`${path}.weight`, { shape: [hiddenSize], init: 'ones' });
    needs.set(`${path}.bias`, { shape: [hiddenSize], init: 'zeros' });
  };
  for (let layer = 0; layer < layers; layer++) {
    const block = `transformer.h.${layer}`;
    for (const [path, outDim, inDim, init] of blockLinears(config)) {
      needs.set(`${block}.${path}.weight`, { shape: [outDim, inDim], init });
      needs.set(`${block}.${path}.bias`, { shape: [outDim], init: 'zeros' });
    }
    norm(`${block}.ln_1`);
    norm(`${block}.ln_2`);
  }
  norm('transformer.ln_f');
  return needs;
};
