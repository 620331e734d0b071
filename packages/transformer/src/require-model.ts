import { PeftError } from '@peftjs/tensor';
import type { Model } from './model.ts';

const isModel = (value: unknown): value is Model =>
  typeof value === 'object' && value !== null && 'linears' in value && 'states' in value;

/** The way out of the commonest mix-ups. */
const hintOf = (value: unknown): string => {
  if (value instanceof Promise) return 'it is a promise: await it';
  if (typeof value === 'string')
    return `it is the text ${JSON.stringify(value.slice(0, 80))}: await loadModel(…) first`;
  if (typeof value === 'object' && value !== null && 'model' in value && isModel(value.model))
    return 'it has one: give its view, adapted.model, or its base, adapted.base';
  return `it is ${value === null ? 'null' : `of type ${typeof value}`}: give what loadModel or buildModel gives`;
};

/** Refuses what is no model where one belongs, or, for functions over texts, has no logits. Throws `bad-option` that says what to give. */
export const requireModel = (who: string, value: unknown, needs: 'model' | 'logits' = 'model'): void => {
  if (!isModel(value)) throw new PeftError('bad-option', `${who}: that is no model; ${hintOf(value)}`);
  if (needs === 'logits' && !('logits' in value))
    throw new PeftError(
      'bad-option',
      `${who}: this model of ${value.layout.modelType} gives no logits of next tokens; load it as a causal language model, if it has such a head`,
    );
};
