import { join } from 'node:path';
import { openModelWeights, readAdapter } from '@peftjs/io';
import { type LlamaConfig, loadConfig } from '@peftjs/transformer';

/** A tensor of a file. */
export interface Weight {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A model folder's config, and its tensors by Hugging Face name. */
export interface Weights {
  readonly config: LlamaConfig;
  readonly tensors: ReadonlyMap<string, Weight>;
}

/** Reads a model folder whole, for the stacks that have no loader of their own. */
export const loadWeights = async (dir: string): Promise<Weights> => {
  const config = (await loadConfig(join(dir, 'model'))) as LlamaConfig;
  await using checkpoint = await openModelWeights(join(dir, 'model'));
  const tensors = new Map<string, Weight>();
  for (const [name, { shape }] of checkpoint.tensors)
    tensors.set(name, { shape, data: await checkpoint.readFloat32(name) });
  return { config, tensors };
};

/** The adapter's tensors by layer and letter: `model.layers.0.self_attn.q_proj.lora_A`. */
export const loadLora = async (dir: string): Promise<ReadonlyMap<string, Weight>> => {
  const { tensors } = await readAdapter(join(dir, 'adapter'));
  return new Map(
    [...tensors].map(([name, { shape, data }]) => [
      name.replace(/^base_model\.model\./, '').replace(/\.weight$/, ''),
      { shape, data: data as Float32Array },
    ]),
  );
};

/** Cosines and sines of the rotary embedding: [positions, headDim / 2] each. */
export const ropeTables = (
  { headDim, ropeTheta }: LlamaConfig,
  positions: number,
): { readonly cos: Float32Array; readonly sin: Float32Array; readonly half: number } => {
  const half = headDim / 2;
  const table = (f: (angle: number) => number): Float32Array =>
    Float32Array.from({ length: positions * half }, (_, i) =>
      f(Math.floor(i / half) * ropeTheta ** (-(i % half) / half)),
    );
  return { cos: table(Math.cos), sin: table(Math.sin), half };
};
