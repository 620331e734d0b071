import { PeftError, type Tensor } from '@peftjs/tensor';
import { normalized, type Pooling, poolings } from '../pooling.ts';
import { type EmbeddingLoss, examplesOf } from './embedding-losses.ts';
import type { Head, Task } from './task.ts';

/** Options of `featureExtraction`. */
export interface FeatureOptions {
  /** How the states of a text's tokens become one vector; null for the states themselves. Default null. */
  readonly pooling?: Pooling | null;
  /** Whether vectors are brought to length 1. Default false. */
  readonly normalize?: boolean;
  /** The loss, of the vectors of a batch; needs `pooling`. Default none: the task has no loss. */
  readonly loss?: EmbeddingLoss;
}

/**
 * Features of texts: the states after the last block without any head, or one vector for each text. Outputs: [batch, tokens, d], with `pooling`
 * [batch, d]. Adapters are as PEFT writes them on a model without a head (`AutoModel`). Throws `bad-option`.
 */
export const featureExtraction = ({ pooling = null, normalize = false, loss }: FeatureOptions = {}): Task<Tensor> => {
  const name = 'featureExtraction';
  if (pooling !== null && !Object.hasOwn(poolings, pooling))
    throw new PeftError(
      'bad-option',
      `${name}: pooling must be one of ${Object.keys(poolings).join(', ')}, or null, got ${pooling}`,
    );
  if (loss && pooling === null)
    throw new PeftError('bad-option', `${name}: ${loss.name} compares texts; give pooling: 'mean' or another`);
  const outputs = ({ features, mask }: Head): Tensor => {
    const vectors = pooling === null ? features : poolings[pooling](features, mask);
    return normalize ? normalized(vectors) : vectors;
  };
  return {
    name,
    type: 'FEATURE_EXTRACTION',
    head: 'features',
    labels: null,
    columns: loss?.columns ?? {},
    outputs,
    loss: (head, inputs) => {
      if (!loss)
        throw new PeftError('bad-option', `${name}: has no loss; give one: loss: multipleNegatives() or another`);
      return loss.of(examplesOf(outputs(head), loss), inputs);
    },
  };
};
