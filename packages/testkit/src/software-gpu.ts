export { setup, softwareGpuEnv } from './software-gpu-env.ts';
