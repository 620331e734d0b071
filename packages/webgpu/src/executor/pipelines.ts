import { PeftError } from '@peftjs/tensor';
import type { Shader } from './shader.ts';

/** A compiled kernel and the layout that its bind groups take. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Compiled kernels by their text. */
export interface Pipelines {
  /**
   * Compiles a kernel unless one of the same text is there. `label` is for messages. Throws `device-error` with the
   * compiler's words.
   */
  get(shader: Shader, label: string): Promise<Pipeline>;
}

/** A kernel stage's visibility, `GPUShaderStage.COMPUTE`; Node has no such global. */
const computeStage = 4;

/** The cache of a device's kernels. */
export const pipelineCache = (device: GPUDevice): Pipelines => {
  const layouts = new Map<string, { readonly bindGroup: GPUBindGroupLayout; readonly pipeline: GPUPipelineLayout }>();
  const compiled = new Map<string, Promise<Pipeline>>();

  const layoutOf = ({ access }: Shader) => {
    const key = access.join();
    const known = layouts.get(key);
    if (known) return known;
    const storage = access.map(
      (a, binding): GPUBindGroupLayoutEntry => ({
        binding,
        visibility: computeStage,
        buffer: { type: a === 'read' ? 'read-only-storage' : 'storage' },
      }),
    );
    const uniform: GPUBindGroupLayoutEntry = {
      binding: access.length,
      visibility: computeStage,
      buffer: { type: 'uniform' },
    };
    const bindGroup = device.createBindGroupLayout({ label: key, entries: [...storage, uniform] });
    const layout = { bindGroup, pipeline: device.createPipelineLayout({ label: key, bindGroupLayouts: [bindGroup] }) };
    layouts.set(key, layout);
    return layout;
  };

  const build = async (shader: Shader, label: string): Promise<Pipeline> => {
    const layout = layoutOf(shader);
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label, code: shader.code });
    const problem = device.popErrorScope();
    const pipeline = device.createComputePipelineAsync({
      label,
      layout: layout.pipeline,
      compute: { module, entryPoint: 'main' },
    });
    try {
      return { pipeline: await pipeline, layout: layout.bindGroup };
    } catch (cause) {
      const words = (await problem)?.message ?? (cause as Error).message;
      throw new PeftError(
        'device-error',
        `webgpu: the kernel of ${label} does not compile: ${words.trim()}\n${shader.code}`,
        { cause },
      );
    }
  };

  return {
    get: (shader, label) => {
      const key = `${shader.access.join()}\n${shader.code}`;
      const known = compiled.get(key);
      if (known) return known;
      const made = build(shader, label);
      compiled.set(key, made);
      made.catch(() => compiled.delete(key));
      return made;
    },
  };
};
