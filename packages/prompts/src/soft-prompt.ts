import type { JsonObject, Option, Patch } from '@peftjs/core';
import { broadcastTo, concat, PeftError, slice, type Tensor } from '@peftjs/tensor';
import type { Around, Embedding, Model } from '@peftjs/transformer';

/**
 * The option `submodules` of prompts: for how many towers there are rows, those of the first tower first, which alone are read. Hugging Face
 * PEFT makes and saves rows for the decoder of an encoder-decoder too.
 */
export const submodulesOption: Option<number> = {
  key: 'num_transformer_submodules',
  fallback: () => 1,
  expected: '1 or 2',
  accepts: (v) => v === 1 || v === 2,
};

/**
 * A patch that puts the first `length` of rows [m, d] before those of the tokens, in the tower that reads first: attention sees them first,
 * and they take the first positions. Throws `no-match` in a part of a model without its embeddings, `bad-option` for rows of more towers.
 */
export const rowsInFront = (
  model: Model,
  { length, submodules = 1 }: { readonly length: number; readonly submodules?: number },
  rowsOf: (embedding: Embedding) => Tensor,
): Patch => {
  if (submodules > model.towers.length)
    throw new PeftError(
      'bad-option',
      `submodules: there are rows for ${submodules} towers, and the model has ${model.towers.length}`,
    );
  const [{ tokenTable, paths }] = model.towers;
  const [site] = paths('embed').filter((path) => model.paths('embed').includes(path));
  if (site === undefined) throw new PeftError('no-match', 'this part of the model has no site embed');
  const rows = slice(rowsOf(model.embeddings.get(tokenTable)!), { axis: 0, start: 0, end: length });
  const around: Around<'embed'> = (ids, next, { pass }) =>
    concat(broadcastTo(rows, [pass.batch, ...rows.shape]), next(ids), { axis: 1 });
  return { around: { embed: new Map([[site, around]]) } };
};

/** The fields that Hugging Face PEFT notes of the model for rows of `width`, split in `heads`. */
export const promptConfig = (model: Model, width: number, heads: number): JsonObject => ({
  num_attention_heads: heads,
  num_layers: model.main.paths('block').length,
  token_dim: width,
});

/** Fields of a prompt's file that change the function, with the only values that are computed here. */
export const promptComputes = { modules_to_save: [] } as const;
