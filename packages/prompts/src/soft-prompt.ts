import { eachSite, type JsonObject, type Patch, requireOneTower, type Scope } from '@peftjs/core';
import { broadcastTo, concat, type Tensor } from '@peftjs/tensor';
import type { Embedding, Model } from '@peftjs/transformer';

/**
 * A patch that puts rows [m, d] before those of the tokens: attention sees them first, and they take the first positions. Throws
 * `no-match` in a part of a model without its embeddings, `bad-option` for a model of several towers.
 */
export const rowsInFront = (
  method: string,
  model: Model,
  scope: Scope,
  rowsOf: (embedding: Embedding) => Tensor,
): Patch => {
  requireOneTower(model, method);
  return eachSite(model, scope, 'embed', () => {
    const rows = rowsOf(model.embeddings.get(model.main.tokenTable)!);
    return (ids, next, { pass }) => concat(broadcastTo(rows, [pass.batch, ...rows.shape]), next(ids), { axis: 1 });
  });
};

/** The fields that Hugging Face PEFT notes of the model for rows of `width`, split in `heads`. */
export const promptConfig = (model: Model, width: number, heads: number): JsonObject => ({
  num_attention_heads: heads,
  num_layers: model.main.paths('block').length,
  num_transformer_submodules: 1,
  token_dim: width,
});

/** Fields of a prompt's file that change the function, with the only values that are computed here. */
export const promptComputes = { num_transformer_submodules: [1], modules_to_save: [] } as const;
