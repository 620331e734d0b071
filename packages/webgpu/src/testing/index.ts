export { type EveryWay, everyWay } from './every-way.ts';
export { limitedGpu } from './limited-gpu.ts';
export { productSamples } from './product-samples.ts';
