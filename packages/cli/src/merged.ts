import { type Adapted, merge } from '@peftjs/core';
import { type Executor, PeftError } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';
import type { Context } from './context.ts';
import { status } from './status.ts';
import type { Tuned, Voice } from './tuned.ts';

/** The precisions in which models are written. */
const dtypes = ['f32', 'f16', 'bf16'] as const;

/** A precision in which a model is written. */
export type StoredDType = (typeof dtypes)[number];

/** The precision that a flag asks for. Throws `bad-option`. */
export const dtypeOf = (asked: unknown): StoredDType => {
  if (asked === undefined) return 'f32';
  if (dtypes.includes(asked as StoredDType)) return asked as StoredDType;
  throw new PeftError('bad-option', `--dtype is ${String(asked)}; there are ${dtypes.join(', ')}`);
};

/** The only adapter. Throws `bad-option` where there is none, or several. */
export const onlyVoice = (who: string, { voices }: Tuned): Voice => {
  if (voices.length === 1) return voices[0]!;
  const got = voices.length === 0 ? 'a model alone' : `${voices.length} of them`;
  throw new PeftError('bad-option', `${who}: takes one adapter or run, got ${got}`);
};

/** The model with an adapter folded in; says so where rounding takes much of what was learnt. Throws as `merge`. */
export const merged = async <M extends TaskModel>(
  adapted: Adapted<M>,
  executor: Executor,
  { storedAs, context }: { readonly storedAs: StoredDType; readonly context: Context },
): Promise<M> => {
  const { model, undone } = await merge(adapted, { executor, storedAs });
  if (undone.length > 0)
    status(
      context,
      `Rounding takes half or more of what was learnt in ${undone.length} layers, such as ${undone[0]}; --dtype f32 of a base that is not packed keeps it.`,
    );
  return model;
};
