import { loraSmall } from './lora-small.ts';
import type { StepTask } from './task.ts';

/** The axes that grow, and their steps; the rest is the small LoRA task. */
export const scalingAxes: readonly {
  readonly axis: 'tokens' | 'batch' | 'layers';
  readonly sizes: readonly number[];
}[] = [
  { axis: 'tokens', sizes: [64, 128, 256, 512, 1024] },
  { axis: 'batch', sizes: [1, 2, 4, 6, 8] },
  { axis: 'layers', sizes: [2, 4, 6, 8, 12] },
];

/** A LoRA step along each axis. */
export const scaling: readonly StepTask[] = scalingAxes.flatMap(({ axis, sizes }) =>
  sizes.map((size) => ({
    ...loraSmall,
    name: `scaling-${axis}-${size}`,
    about: `LoRA step, d 256, ${axis} ${size}`,
    ...(axis === 'layers' ? { model: { ...loraSmall.model, layers: size } } : { [axis]: size }),
  })),
);
