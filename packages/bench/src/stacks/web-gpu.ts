/// <reference types="@webgpu/types" />
import { create, globals } from 'webgpu';

/**
 * Gives Node a browser's `navigator.gpu`, Dawn's, so that all stacks open the same adapter in the same way. The stacks choose it as they
 * do in a browser. Where it goes on to exist the process does too: it ends by `process.exit`.
 */
export const installWebGpu = (toggles: readonly string[], threads: number): void => {
  Object.assign(globalThis, globals);
  const gpu = create([...toggles]);
  Object.defineProperty(globalThis, 'navigator', {
    value: { gpu, userAgent: 'Node.js', hardwareConcurrency: threads },
    configurable: true,
  });
};

/** For people: vendor, device and driver of the adapter that a stack gets. */
export const describeGpu = async (): Promise<string> => {
  const { gpu } = (globalThis as unknown as { readonly navigator: { readonly gpu: GPU } }).navigator;
  const info = (await gpu.requestAdapter({ powerPreference: 'high-performance' }))?.info;
  return info ? [info.vendor, info.device, info.description].filter(Boolean).join(' ') : 'no adapter';
};
