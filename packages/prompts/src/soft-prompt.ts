import type { JsonObject, Option, Patch } from '@peftjs/core';
import { broadcastTo, concat, constant, PeftError, slice, type Tensor } from '@peftjs/tensor';
import { type Around, type Call, type Embedding, type Model, tokenTableOf } from '@peftjs/transformer';

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

/** Rows of a pass, which its sequences may have apart: [batch or 1, m, d], of the embedded tokens [batch, tokens, d]. */
export type RowsOfPass = (embedded: Tensor, call: Call) => Tensor;

/** How many rows there are, and for how many towers. */
export interface RowCount {
  readonly length: number;
  readonly submodules?: number;
}

/**
 * A patch that puts the first `length` of rows before those of the tokens, in the tower that reads first: attention sees them first, and they
 * take the first positions. The rows are [m, d], the same for all, or made in each pass. Throws `no-match` in a part of a model without its
 * embeddings, `bad-option` for rows of more towers.
 */
export const rowsInFront = (
  model: Model,
  { length, submodules = 1 }: RowCount,
  rowsOf: (embedding: Embedding) => Tensor | RowsOfPass,
): Patch => {
  if (submodules > model.towers.length)
    throw new PeftError(
      'bad-option',
      `submodules: there are rows for ${submodules} towers, and the model has ${model.towers.length}`,
    );
  const [tower] = model.towers;
  const { paths } = tower;
  const [site] = paths('embed').filter((path) => model.paths('embed').includes(path));
  if (site === undefined) throw new PeftError('no-match', 'this part of the model has no site embed');
  const embedding = tokenTableOf(model, tower, 'prompt');
  const made = rowsOf(embedding);
  const first = (rows: Tensor, axis: number): Tensor => slice(rows, { axis, start: 0, end: length });
  const rowsIn: RowsOfPass = typeof made === 'function' ? (x, call) => first(made(x, call), 1) : () => first(made, 0);
  const around: Around<'embed'> = (ids, next, call) => {
    const embedded = next(ids);
    // A pass that continues has the rows in its cache, and leaves these out again.
    const rows = call.sequence.continues ? constant(Float32Array.of(0), []) : rowsIn(embedded, call);
    return concat(broadcastTo(rows, [call.pass.batch, length, embedding.dim]), embedded, { axis: 1 });
  };
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
