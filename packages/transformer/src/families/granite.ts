import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';

/**
 * Granite: a Llama with four factors: of the embedded rows, of what each half of a block adds, of the scores of attention, and, as a divisor, of the
 * logits. IBM, 2024; transformers, `modeling_granite.py`. PEFT has no default targets for it.
 */
export const granite: Family<DecoderConfig> = decoder({
  modelType: 'granite',
  stem: 'Granite',
  classifies: false,
  defaults: { bos_token_id: 1, eos_token_id: 2 },
  fields: { embeddingMultiplier: 1, logitsScaling: 1, residualMultiplier: 1, attentionMultiplier: 1 },
  traits: ({ fields: { embeddingMultiplier, logitsScaling, residualMultiplier, attentionMultiplier } = {} }) => ({
    rowScale: embeddingMultiplier ?? 1,
    logitScale: 1 / (logitsScaling ?? 1),
    residualScale: residualMultiplier ?? 1,
    scoreScale: attentionMultiplier ?? 1,
  }),
  targets: {},
});
