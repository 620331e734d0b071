import { dynamicMap, scaleGroup } from '@peftjs/tensor';
import { absMax, midpoints, nearestBy } from './blocks.ts';
import type { PackedData } from './format.ts';

const place = nearestBy(midpoints(dynamicMap));

/**
 * Scales in 8 bits each (double quantisation): less their mean, and divided by the largest magnitude in each group of 256, they become
 * the nearest numbers of the dynamic data type. Dettmers, Pagnoni, Holtzman & Zettlemoyer, 2023 (section 3). https://arxiv.org/abs/2305.14314
 */
export const packScales = (scales: Float32Array): Omit<PackedData, 'codes'> => {
  const offset = Math.fround(scales.reduce((sum, s) => sum + s, 0) / scales.length);
  const rest = scales.map((s) => s - offset);
  const scaleCodes = new Uint8Array(scales.length);
  const scale = new Float32Array(Math.ceil(scales.length / scaleGroup));
  for (let group = 0; group < scale.length; group++) {
    const [from, to] = [group * scaleGroup, Math.min(scales.length, (group + 1) * scaleGroup)];
    const most = absMax(rest, from, to);
    scale[group] = most;
    const factor = most === 0 ? 0 : 1 / most;
    for (let i = from; i < to; i++) scaleCodes[i] = place(Math.fround(rest[i]! * factor));
  }
  return { scale, scaleCodes, scaleOffset: Float32Array.of(offset) };
};
