export { limitedGpu } from './limited-gpu.ts';
