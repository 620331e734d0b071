import { PeftError, sameShape, shapeError, type Tensor } from '@peftjs/tensor';
import type { Parts } from './parts.ts';
import type { Pass } from './pass.ts';
import type { Inputs } from './states.ts';
import type { TowerSpec } from './tower-spec.ts';

/** A tower that later ones read. */
export interface Before {
  /** [batch, rows, d]: its states, with the rows that methods put in front; null in a pass that continues, which finds in its cache what was made of them. */
  readonly rows: Tensor | null;
  /** f32 [batch, tokens]: 1 for tokens, 0 for what is hidden; null where nothing is. */
  readonly mask: Tensor | null;
  /** Tokens, without the rows in front. */
  readonly tokens: number;
}

/**
 * The encoder beside a decoder that continues a cache: all that is known of it is its mask. Throws `bad-option` where that is missing.
 */
export const skippedTower = ({ name, reads }: TowerSpec, inputs: Inputs): Before => {
  const mask = inputs[reads.mask];
  if (!mask)
    throw new PeftError(
      'bad-option',
      `model: a pass that continues a cache does not run the ${name}, but needs its ${reads.mask}; give that of the first pass`,
    );
  return { rows: null, mask, tokens: mask.shape[1]! };
};

/** The pass as a tower sees it: one that stands alone has sequences of its own. Throws `bad-shape` where rows in front are there for some of another number of sequences. */
export const passOf = ({ name, alone, reads }: TowerSpec, pass: Pass, inputs: Inputs, { present }: Parts): Pass => {
  if (!alone) return pass;
  const batch = inputs[reads.ids]!.shape[0] ?? 0;
  if (present && present.shape[0] !== batch)
    throw shapeError('present', [present], `must have an entry for each of the ${batch} sequences of the ${name}`);
  return { ...pass, batch };
};

/** How many sequences a pass has: as many as its first input, or, where towers stand side by side, as that of the main one. Throws `bad-shape` where a view takes another number, or `present` does not fit. */
export const batchOf = (inputs: Inputs, main: TowerSpec, { batchSize, present }: Parts): number => {
  const first = main.alone ? inputs[main.reads.ids] : Object.values(inputs)[0];
  const batch = first?.shape[0] ?? 0;
  if (batchSize !== null && batch !== batchSize)
    throw shapeError('model', first ? [first] : [], `this view takes batches of ${batchSize} sequences`);
  if (present && !(sameShape(present.shape, [batch]) && present.dtype === 'i32'))
    throw shapeError('present', [present], `must be i32 [${batch}], one entry for each sequence`);
  return batch;
};
