export type { GpuFeature, GpuOptions } from './device/dawn.ts';
export type { Toggle } from './device/toggles.ts';
export { type WebgpuOptions, webgpu } from './executor/executor.ts';
export { type GpuModel, planProgram } from './executor/plan-program.ts';
export {
  type Binding,
  type DeviceFacts,
  type Dispatch,
  elementwise,
  type Kernel,
  type KernelIo,
  type KernelOf,
  type KernelPlan,
} from './kernel.ts';
export { withKernel } from './kernel-of.ts';
