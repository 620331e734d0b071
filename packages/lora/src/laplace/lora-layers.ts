import type { Adapted } from '@peftjs/core';
import { PeftError, type Variable } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import type { BiasedLoraOptions } from '../lora-bias.ts';
import { rankAndScaleOf } from '../low-rank.ts';

/** A layer y = Wx + s·B·A·x. */
export interface LoraLayer {
  readonly path: Path;
  readonly rank: number;
  /** s */
  readonly scale: number;
  /** [rank, in] */
  readonly a: Variable;
  /** [out, rank] */
  readonly b: Variable;
}

/** Methods that compute what LoRA does, and train both factors. */
const known: readonly string[] = ['lora', 'loraPlus', 'loraPro', 'riemannianLora'];

/** A covariance of this side takes 1 GiB. */
const longestSide = 16_384;

/** The layers of a LoRA that changes linear layers and nothing else; a task's own head may be trained beside it. Throws `bad-option` for any other adapter. */
export const loraLayers = (who: string, { base, method, params }: Adapted<Model>): LoraLayer[] => {
  const settled = method.settled?.(base);
  const options = settled?.options as unknown as Required<BiasedLoraOptions> | undefined;
  if (!settled || !options || !known.includes(settled.record.name) || options.loraBias === true)
    throw new PeftError(
      'bad-option',
      `${who}: takes one LoRA (${known.join(', ')}) of linear layers alone, got ${method.name}${known.includes(method.name) ? ' that trains more (biases, tokens, experts, whole modules)' : ''}`,
    );
  const odd = settled.paths.filter((path) => {
    const layer = base.linears.get(path);
    return !layer || Math.max(layer.inDim, layer.outDim) > longestSide;
  });
  if (odd.length > 0)
    throw new PeftError(
      'bad-option',
      `${who}: takes linear layers whose sides are at most ${longestSide}, and ${odd.slice(0, 3).join(', ')}${odd.length > 3 ? ', …' : ''} is none; train a LoRA with another target`,
    );
  return settled.paths.map((path) => ({
    path,
    ...rankAndScaleOf(path, options),
    a: params.get(`${path}.lora_A.weight`)!,
    b: params.get(`${path}.lora_B.weight`)!,
  }));
};
