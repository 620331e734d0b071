import { loadPeer } from '../peers/load-peer.ts';
import { addIteratorHelpers } from './jax/iterator-helpers.ts';
import { openGenerate, openMatmul, openStep } from './jax/tasks.ts';
import type { Jax } from './jax/types.ts';
import { installWebWorker } from './jax/web-worker.ts';
import type { OpenWorker } from './stack.ts';
import { describeGpu, installWebGpu } from './web-gpu.ts';

/** jax-js, as its users write it: whole steps under jit. Stacks: `jax-wasm` (on threads, as in a browser), `jax-wasm-1` (as in plain Node), `jax-webgpu`. */
export const open: OpenWorker = async (stack, { task, dir }, { threads, toggles, peers }) => {
  const device = stack === 'jax-webgpu' ? 'webgpu' : 'wasm';
  if (device === 'webgpu') installWebGpu(toggles, threads);
  else if (stack === 'jax-wasm') installWebWorker(threads);
  addIteratorHelpers();
  const { module: jax, version } = await loadPeer<Jax>(peers, '@jax-js/jax');
  if (!(await jax.init(device)).includes(device)) throw new Error(`jax-js has no ${device} here`);
  jax.defaultDevice(device);
  const run =
    task.kind === 'matmul'
      ? await openMatmul(jax, dir, task)
      : task.kind === 'step'
        ? await openStep(jax, dir, task)
        : await openGenerate(jax, dir, task);
  const onThreads = stack === 'jax-wasm' ? `${threads} threads` : '1 thread';
  return {
    device: device === 'webgpu' ? await describeGpu() : onThreads,
    versions: { '@jax-js/jax': version },
    run,
    close: async () => {},
  };
};
