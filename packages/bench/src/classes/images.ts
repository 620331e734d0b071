import { attach } from '@peftjs/core';
import { clothesData } from '@peftjs/demo/classes';
import { type ClassTask, wholeModel, withMethod } from './class-task.ts';

/** Pictures of each class to learn from. */
const shots = 100;

/** Coats, pullovers and shirts, by a vision transformer that has seen none. */
export const images: ClassTask = {
  name: 'images',
  about: 'methods for pictures on classes that the base never saw: docs/images.md',
  steps: 100,
  batchSize: 16,
  data: () => clothesData(shots),
  contenders: [
    {
      name: 'the head alone',
      about: 'linear probing',
      first: 6,
      make: (model, seed) => attach(model, [], { seed }),
    },
    withMethod('vpt', 'deep, 10 rows in each layer', 6, { length: 10, deep: true }),
    withMethod('adaptFormer', 'bottlenecks of 16', 5, { bottleneck: 16 }),
    withMethod('convpass', '8 channels', 5),
    withMethod('factTt', 'rank 8', 6, { rank: 8 }),
    withMethod('ssf', 'scale and shift of every layer', 5),
    withMethod('lora', 'rank 8, alpha 16, all layers', 5, { rank: 8, alpha: 16, target: 'all-linear' }),
    wholeModel(4),
  ],
};
