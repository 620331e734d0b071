import { PeftError } from '@peftjs/tensor';
import type { Family } from './family.ts';

/** Families that are one piece of a bundle, which is loaded when one of them is asked for. */
interface Piece {
  /** Their `model_type`s. */
  readonly types: readonly string[];
  open(): Promise<readonly Family[]>;
}

const pieces: readonly Piece[] = [
  {
    types: [
      'llama',
      'qwen2',
      'qwen3',
      'mistral',
      'mixtral',
      'qwen2_moe',
      'qwen3_moe',
      'gpt_oss',
      'gemma',
      'gemma2',
      'gemma3_text',
      'smollm3',
      'olmo2',
      'olmo3',
      'granite',
      'phi3',
      'stablelm',
      'starcoder2',
      'cohere',
      'cohere2',
      'phi',
      'gpt_neox',
      'gptj',
      'opt',
      'bloom',
      'falcon',
      'gpt2',
    ],
    open: async () => (await import('./decoders.ts')).decoders,
  },
  {
    types: [
      'bert',
      'roberta',
      'xlm-roberta',
      'distilbert',
      'electra',
      'albert',
      'mpnet',
      'deberta',
      'deberta-v2',
      'modernbert',
      't5',
      'mt5',
      'umt5',
      'bart',
      'mbart',
    ],
    open: async () => (await import('./encoders.ts')).encoders,
  },
  {
    types: ['vit', 'deit', 'dinov2', 'beit', 'swin', 'clip', 'siglip'],
    open: async () => (await import('./pictures.ts')).pictures,
  },
];

/** The `model_type`s that there are. */
export const modelTypes = (): readonly string[] => pieces.flatMap(({ types }) => types);

/** The family of a `model_type`, loaded now if it is the first of its kind; null for one that there is not. */
export const openFamily = async (modelType: string): Promise<Family | null> => {
  const piece = pieces.find(({ types }) => types.includes(modelType));
  return (await piece?.open())?.find((family) => family.modelType === modelType) ?? null;
};

/** A `model_type` that there is not. */
export const unknownArchitecture = (who: string, modelType: string): PeftError =>
  new PeftError(
    'unknown-architecture',
    `${who}: architecture ${modelType} cannot be built; there are ${modelTypes().join(', ')}. Choose a model of one of these.`,
  );
