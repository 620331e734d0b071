import type { State } from '@peftjs/core';
import { PeftError, type Shape } from '@peftjs/tensor';
import { rowsName } from './encoder.ts';

/** A prompt in front of the embeddings that was trained before: `await snapshot(adapted, { executor })`. */
export interface PromptSnapshot {
  readonly state: State;
}

/** Rows that begin as those of a prompt that was trained before. */
export interface TrainedPrompt {
  readonly prompt: PromptSnapshot;
}

/** Whether a value is a `PromptSnapshot`. */
export const isPromptSnapshot = (v: unknown): v is PromptSnapshot =>
  (v as Partial<PromptSnapshot> | null)?.state instanceof Map;

/** Whether a value is a `TrainedPrompt`. */
export const isTrainedPrompt = (v: unknown): v is TrainedPrompt =>
  isPromptSnapshot((v as Partial<TrainedPrompt> | null)?.prompt);

/** The rows [m, d] of a trained prompt. Throws `bad-option`, by the name of who asks, for one of another shape, or of a method whose rows are computed from others. */
export const trainedRows = (who: string, { state }: PromptSnapshot, shape?: Shape): Float32Array => {
  const found = state.get(rowsName);
  if (found?.shape.length !== 2 || (shape && found.shape.join() !== shape.join()))
    throw new PeftError(
      'bad-option',
      `${who}: a prompt of ${shape ? `[${shape.join(', ')}]` : 'rows [m, d]'} is needed, got ${found ? `[${found.shape.join(', ')}]` : 'a state without prompt_embeddings'}; give a snapshot of promptTuning or pTuning of the same length and model`,
    );
  return Float32Array.from(found.data);
};
