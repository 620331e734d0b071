import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { softwareGpuEnv } from '@peftjs/testkit/software-gpu';
import type { Prepared } from '../data/prepare.ts';
import { paths } from '../paths.ts';
import { bundle } from '../run/bundle.ts';
import type { Command } from '../run/session.ts';
import type { Task } from '../tasks/task.ts';
import type { StackOptions } from './stack.ts';

/** Something that trains and generates. */
export interface Stack {
  readonly name: string;
  readonly about: string;
  /** Whether it takes part only when it is named. */
  readonly optional?: boolean;
  /** Whether it multiplies in fewer bits than f32. Default false. */
  readonly rounds?: boolean;
  /** Whether it can do a task at all. */
  does(task: Task): boolean;
  /** Null where it is installed, else why not and what to do. */
  missing(peers: string): string | null;
  command(prepared: Prepared, options: StackOptions): Promise<Command>;
}

const setUp = 'run pnpm bench --setup';

/** The bundle, made once of the sources as they are: stacks run as those who install packages run them, without a loader of TypeScript in their memory and their start. */
let made: Promise<void> | undefined;
const bundled = (): Promise<void> =>
  (made ??= paths.isPacked
    ? Promise.resolve()
    : bundle(
        paths.app,
        { child: 'run/child.ts', ours: 'stacks/ours.ts', jax: 'stacks/jax.ts', tfjs: 'stacks/tfjs.ts' },
        'in place',
      ));

/** Arguments that start a stack's module. */
const childOf = (module: string): string[] => [join(paths.app, 'child.mjs'), join(paths.app, `${module}.mjs`)];

const inNode = (module: string, name: string, about: string, needs: readonly string[] = []): Stack => ({
  name,
  about,
  does: (task) => module === 'ours' || task.kind !== 'step' || (task.method !== 'qlora' && !task.variant),
  missing: (peers) => (needs.every((id) => existsSync(join(peers, 'node/node_modules', id))) ? null : setUp),
  command: async (prepared, options) => {
    await bundled();
    return {
      file: process.execPath,
      args: [...childOf(module), name, JSON.stringify(prepared), JSON.stringify(options)],
      env: name.endsWith('webgpu') && !paths.isPacked ? await softwareGpuEnv() : {},
    };
  },
});

/** The Python of the peers' virtual environment, or the one that a packed bench has found. */
const pythonIn = (peers: string): string => process.env['PEFTJS_BENCH_PYTHON'] ?? join(peers, 'python/bin/python');

/** Whether a package of Python's is in the peers' environment. */
const hasPackage = (peers: string, name: string): boolean =>
  process.env['PEFTJS_BENCH_PYTHON'] !== undefined
    ? name === 'torch'
    : existsSync(pythonIn(peers)) &&
      readdirSync(join(peers, 'python/lib')).some((version) =>
        existsSync(join(peers, 'python/lib', version, 'site-packages', name)),
      );

const inPython = (module: string, name: string, about: string, needs: string): Stack => ({
  name,
  about,
  does: (task) => task.kind !== 'step' || !task.variant,
  missing: (peers) => (hasPackage(peers, needs) ? null : setUp),
  command: async (prepared, options) => ({
    file: pythonIn(options.peers),
    args: [join(paths.source, `stacks/${module}.py`), JSON.stringify(prepared), JSON.stringify(options), name],
    env: threadsOf(options.threads),
  }),
});

/** The variables that libraries of Python take their threads from; JAX has no other way. */
const threadsOf = (threads: number): Record<string, string> => ({
  OMP_NUM_THREADS: String(threads),
  NPROC: String(threads),
  PJRT_NPROC: String(threads),
  HF_HUB_OFFLINE: '1',
  JAX_PLATFORMS: 'cpu',
});

const torch = (name: string, about: string): Stack => inPython('pytorch', name, about, 'torch');

/** PyTorch on the first NVIDIA GPU, which must be there. */
const torchCuda = (name: string, about: string): Stack => {
  const stack = torch(name, about);
  return {
    ...stack,
    optional: true,
    missing: (peers) => (existsSync('/dev/nvidia0') ? stack.missing(peers) : 'there is no NVIDIA GPU here'),
  };
};

const jaxCpu = (name: string, about: string): Stack => {
  const stack = inPython('jax_cpu', name, about, 'jax');
  return {
    ...stack,
    does: (task) => task.kind !== 'generate' && (task.kind === 'matmul' || task.method !== 'qlora') && stack.does(task),
  };
};

/** Training in llama.cpp needs its program `finetune`, which no package on PyPI has. */
const llamaCpp: Stack = {
  ...inPython('llamacpp', 'llama.cpp', 'llama.cpp of xllamacpp, CPU: activations in 8 bits too', 'xllamacpp'),
  does: (task) => task.kind === 'generate' && task.storage !== undefined,
  rounds: true,
};

/** A stack that does training steps alone. */
const ofSteps = (stack: Stack): Stack => ({ ...stack, does: (task) => task.kind === 'step' && stack.does(task) });

/** LoRA over int8 takes the place of LoRA over floats; QLoRA keeps its base, whose products are of 8 bits. */
const int8: Stack = {
  ...inNode(
    'ours',
    'ours-cpu-int8',
    'the same over a base and a head that are multiplied in int8; NF4 aside they are stored so',
  ),
  does: (task) => task.kind === 'step' && task.method !== 'full' && !task.variant,
  rounds: true,
};

/** The same in less memory, for more work. */
const int8Lean: Stack = {
  ...int8,
  ...inNode(
    'ours',
    'ours-cpu-int8-lean',
    'the same, nine of ten blocks computed again in the backward pass (`recompute: 27` of 30)',
  ),
  optional: true,
};

const tfjs = ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-wasm', '@tensorflow/tfjs-backend-webgpu'];

/** All stacks, ours first: the others are compared with it. */
export const stacks: readonly Stack[] = [
  inNode('ours', 'ours-cpu', 'peftjs on ONNX Runtime'),
  { ...inNode('ours', 'ours-cpu-worker', 'the same in a process beside the one that asks'), optional: true },
  inNode('ours', 'ours-webgpu', 'peftjs on WebGPU'),
  int8,
  int8Lean,
  torch('torch', 'PyTorch with transformers and peft, CPU, f32'),
  ofSteps({ ...torch('torch-bf16', 'the same in bfloat16; NF4 computes in it'), rounds: true }),
  ofSteps({ ...torch('torch-compile', 'torch in f32 under torch.compile'), optional: true }),
  ofSteps({ ...torch('torch-compile-bf16', 'torch in bfloat16 under torch.compile'), optional: true, rounds: true }),
  torchCuda('torch-cuda', 'torch in f32 on an NVIDIA GPU'),
  ofSteps({ ...torchCuda('torch-cuda-bf16', 'torch in bfloat16 on an NVIDIA GPU'), rounds: true }),
  jaxCpu('jax-cpu', 'JAX with optax, CPU, f32: a whole step under jit'),
  ofSteps({ ...jaxCpu('jax-cpu-bf16', 'the same in bfloat16'), optional: true, rounds: true }),
  llamaCpp,
  inNode('jax', 'jax-wasm', '@jax-js/jax, WebAssembly, on threads as in a browser', ['@jax-js/jax']),
  inNode('jax', 'jax-wasm-1', '@jax-js/jax, WebAssembly, the one thread that it has in plain Node', ['@jax-js/jax']),
  inNode('jax', 'jax-webgpu', '@jax-js/jax, WebGPU', ['@jax-js/jax']),
  inNode('tfjs', 'tfjs-wasm', 'TensorFlow.js, WebAssembly', tfjs),
  inNode('tfjs', 'tfjs-webgpu', 'TensorFlow.js, WebGPU', tfjs),
];
