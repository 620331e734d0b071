import type { TaskModel, TokenIds } from '@peftjs/transformer';

/**
 * The content of `genai_config.json`, by which onnxruntime-genai finds its way in the folder of an exported decoder; null for one without a token that
 * ends texts, as it takes the padding for that. Fields: https://onnxruntime.ai/docs/genai/reference/config.html.
 */
export const genaiConfig = (
  { config: { vocabSize }, main }: TaskModel,
  { bosId, eosIds, padId }: TokenIds,
  context: number,
): Readonly<Record<string, unknown>> | null => {
  if (eosIds.length === 0) return null;
  const caches = (of: string, field: string) => ({
    [`${field}_key_names`]: `${of}.%d.key`,
    [`${field}_value_names`]: `${of}.%d.value`,
  });
  return {
    model: {
      type: 'decoder',
      context_length: context,
      vocab_size: vocabSize,
      ...(bosId !== null && { bos_token_id: bosId }),
      eos_token_id: eosIds,
      pad_token_id: padId ?? eosIds[0],
      decoder: {
        filename: 'onnx/model.onnx',
        hidden_size: main.hiddenSize,
        head_size: main.headDim,
        num_attention_heads: main.heads,
        num_key_value_heads: main.keyHeads,
        num_hidden_layers: main.paths('kv').length,
        inputs: {
          input_ids: 'input_ids',
          attention_mask: 'attention_mask',
          position_ids: 'position_ids',
          ...caches('past_key_values', 'past'),
        },
        outputs: { logits: 'logits', ...caches('present', 'present') },
      },
    },
    search: { max_length: context, past_present_share_buffer: false },
  };
};
