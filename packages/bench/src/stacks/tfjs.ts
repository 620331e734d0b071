import { loadPeer } from '../peers/load-peer.ts';
import type { OpenWorker } from './stack.ts';
import { openGenerate, openMatmul, openStep } from './tfjs/tasks.ts';
import type { Tf } from './tfjs/types.ts';
import { describeGpu, installWebGpu } from './web-gpu.ts';

/** TensorFlow.js, as its users write it. Stacks: `tfjs-wasm` (SIMD, one thread: it has no others in Node), `tfjs-webgpu`. */
export const open: OpenWorker = async (stack, { task, dir }, { threads, toggles, peers }) => {
  const backend = stack === 'tfjs-webgpu' ? 'webgpu' : 'wasm';
  if (backend === 'webgpu') installWebGpu(toggles, threads);
  const { module: tf, version } = await loadPeer<Tf>(peers, '@tensorflow/tfjs');
  await loadPeer(peers, `@tensorflow/tfjs-backend-${backend}`);
  // Small tensors would be computed in JavaScript, each with a wait for the GPU.
  if (backend === 'webgpu') tf.env().set('WEBGPU_CPU_FORWARD', false);
  if (!(await tf.setBackend(backend))) throw new Error(`TensorFlow.js has no ${backend} here`);
  await tf.ready();
  const run =
    task.kind === 'matmul'
      ? await openMatmul(tf, dir, task)
      : task.kind === 'step'
        ? await openStep(tf, dir, task)
        : await openGenerate(tf, dir, task);
  return {
    device: backend === 'webgpu' ? await describeGpu() : '1 thread',
    versions: { '@tensorflow/tfjs': version },
    run,
    close: async () => {},
  };
};
