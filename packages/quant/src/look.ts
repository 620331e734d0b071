import type { Examples } from '@peftjs/core';
import { mustBe, type OnExecutor, onExecutor, type Rules } from '@peftjs/tensor';
import { type Target, targetRule } from '@peftjs/transformer';

/** Options of a function that stores layers by a look at data. */
export interface LookOptions extends OnExecutor {
  /** Batches of texts of the kind that the model will see, without padding, not none. */
  readonly data: readonly Examples[];
  /** Default: all but the output head. */
  readonly target?: Target;
}

/** The rules for it. */
export const lookRules: Rules<LookOptions> = {
  ...onExecutor,
  data: mustBe.given(mustBe.such('a list of batches, not empty', (v) => Array.isArray(v) && v.length > 0)),
  target: targetRule,
};
