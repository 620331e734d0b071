import { halfToNumber, isVariable, PeftError, type Tensor, type TypedArray } from '@peftjs/tensor';
import { initialData, wasWritten } from '@peftjs/tensor/executor';

const widen = (data: TypedArray): Float32Array =>
  data instanceof Float32Array ? data : Float32Array.from(data, halfToNumber);

const remedy = 'quantizeOn takes values as they are on an executor; those of a file need a model loaded anew';

/**
 * A function that loads a weight's values from where they come from (a file, an array). Throws `bad-option` where they are not there: the
 * weight is computed, or an executor holds others by now.
 */
export const hostValues = (who: string, name: string, weight: Tensor): (() => Promise<Float32Array>) => {
  const refuse = (why: string): PeftError => new PeftError('bad-option', `${who}: ${name} ${why}; ${remedy}`);
  if (weight.node.kind === 'constant') {
    const { data } = weight.node;
    return async () => widen(data);
  }
  if (!isVariable(weight) || (typeof weight.node.init !== 'function' && !ArrayBuffer.isView(weight.node.init)))
    throw refuse('is computed, so its values are not known yet');
  const checkUnwritten = (): void => {
    if (wasWritten(weight)) throw refuse('has been trained or written since it was loaded');
  };
  checkUnwritten();
  return async () => {
    checkUnwritten();
    return widen((await initialData(weight))!);
  };
};
