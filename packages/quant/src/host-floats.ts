import { halfToFloat32 } from '@peftjs/io';
import { PeftError, type Tensor, type TypedArray } from '@peftjs/tensor';
import { hostValues } from '@peftjs/tensor/executor';

const widen = (data: TypedArray): Float32Array =>
  data instanceof Float32Array ? data : halfToFloat32(data as Uint16Array);

const reasons = {
  computed: 'is computed, so its values are not known yet',
  written: 'has been trained or written since it was loaded',
} as const;

/**
 * A function that loads a weight's values, in f32, from where they come from (a file, an array). Throws `bad-option` where they are not there: the
 * weight is computed, or an executor holds others by now.
 */
export const hostFloats = (who: string, name: string, weight: Tensor): (() => Promise<Float32Array>) => {
  const load = hostValues(
    weight,
    (why) =>
      new PeftError(
        'bad-option',
        `${who}: ${name} ${reasons[why]}; quantizeOn takes values as they are on an executor; those of a file need a model loaded anew`,
      ),
  );
  return async () => widen(await load());
};
