import { input, PeftError } from '@peftjs/tensor';
import type { KvCache } from '../kv-cache.ts';
import type { CausalLM } from '../task-model.ts';

/** The room of a sequence that a model leaves to tokens. */
export interface Room {
  /** Rows that middleware at `embed` puts before the tokens. */
  readonly prepended: number;
  /** The longest text in tokens. */
  readonly context: number;
}

/** Finds the rows in front by building the graph of one token. Throws `bad-option` where not even one token has a position left. */
export const roomOf = (model: CausalLM): Room => {
  let prepended = 0;
  const probe: KvCache = {
    append: (_, own) => {
      prepended = own.k.shape[2]! - 1;
      return own;
    },
    offset: null,
    continues: false,
    recall: () => {
      throw new PeftError('bad-program', 'room: a first pass recalls nothing');
    },
    keep: () => {},
  };
  model.hidden(input('probe', [model.batchSize ?? 1, 1], 'i32'), { cache: probe, positionLimit: 1 });
  return { prepended, context: Math.min(model.config.maxPositions, model.positionsLeft - prepended) };
};
