import { input, PeftError, type Tensor } from '@peftjs/tensor';
import type { KvCache } from '../kv-cache.ts';
import type { Inputs } from '../states.ts';
import type { TaskModel } from '../task-model.ts';

/** The room of a sequence that a model leaves to tokens. */
export interface Room {
  /** Rows that middleware at `embed` puts before the tokens. */
  readonly prepended: number;
  /** The longest text in tokens. */
  readonly context: number;
}

/**
 * The room of the tower that reads an input of tokens, which is the main one or that which it attends to. Finds the rows in front by building the
 * graph of one token. Throws `bad-option` where not even one token has a position left.
 */
export const roomOf = (model: TaskModel<Tensor>, ids: string): Room => {
  const isMain = model.main.reads.ids === ids;
  let prepended = 0;
  const probe: KvCache = {
    append: (_, own) => {
      if (isMain) prepended = own.k.shape[2]! - 1;
      return own;
    },
    cross: (_, theirs) => {
      if (!isMain) prepended = theirs!.k.shape[2]! - 1;
      return theirs!;
    },
    offset: null,
    continues: false,
    recall: () => {
      throw new PeftError('bad-program', 'room: a first pass recalls nothing');
    },
    keep: () => {},
  };
  const one = input('probe', [model.batchSize ?? 1, 1], 'i32');
  const inputs: Inputs = Object.fromEntries(model.towers.map(({ reads }) => [reads.ids, one]));
  model.states(inputs, { cache: probe, positionLimit: 1 });
  return { prepended, context: Math.min(model.config.maxPositions, model.positionsLeft - prepended) };
};
