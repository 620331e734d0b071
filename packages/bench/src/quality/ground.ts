import { baseModelDir } from '@peftjs/base-model';
import { loadText } from '@peftjs/demo/text';
import { loadTokenizer } from '@peftjs/io';
import type { TokenRows } from '@peftjs/trainer';
import { loadModel } from '@peftjs/transformer';
import type { Ground } from './trial.ts';

/** Positions of a row. */
const context = 64;

/** So many rows, evenly from all. */
export const evenly = ({ rows, context: positions }: TokenRows, count: number): TokenRows => ({
  context: positions,
  rows: Array.from({ length: count }, (_, i) => rows[Math.floor((i * rows.length) / count)]!),
});

/** The base model and the demo's text. Validation is of the last chapters that the demo learns from, which a trial does not see. */
export const loadGround = async (): Promise<Ground> => {
  const dir = baseModelDir();
  const [model, tokenizer] = [await loadModel(dir), await loadTokenizer(dir)];
  const { train, heldOut } = await loadText(undefined, tokenizer, context, model.config.eosIds[0]!);
  const cut = Math.floor(train.rows.length * 0.9);
  return {
    model,
    train: { context, rows: train.rows.slice(0, cut) },
    validation: evenly({ context, rows: train.rows.slice(cut) }, 48),
    heldOut: evenly(heldOut, 96),
  };
};
