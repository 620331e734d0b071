import type { Adapted } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { type LoraOptions, rankAndScaleOf } from '../low-rank.ts';

/** Names of A and B of a layer. */
export const namesOf = ({ embeddings }: Model, path: Path): readonly [a: string, b: string] =>
  embeddings.has(path)
    ? [`${path}.lora_embedding_A`, `${path}.lora_embedding_B`]
    : [`${path}.lora_A.weight`, `${path}.lora_B.weight`];

/** A LoRA that changes layers and nothing else: its layers, with the scale of each. Throws `bad-option` for any other adapter. */
export const scalesOf = (who: string, { base, method, state }: Adapted<Model>): ReadonlyMap<Path, number> => {
  const settled = method.settled?.(base);
  if (settled?.record.name !== 'lora')
    throw new PeftError(
      'bad-option',
      `${who} is ${method.name}${method.name === 'lora' ? ' that trains more than layers (biases, tokens, whole modules)' : ''}; give a LoRA of layers alone, which toLora makes of any method that merges`,
    );
  const scales = new Map(
    settled.paths.map((path) => [
      path,
      rankAndScaleOf(path, settled.options as unknown as Required<LoraOptions>).scale,
    ]),
  );
  const known = new Set([...scales.keys()].flatMap((path) => namesOf(base, path)));
  const more = [...state.keys()].filter((name) => !known.has(name));
  if (more.length > 0)
    throw new PeftError(
      'bad-option',
      `${who} also holds ${more.slice(0, 3).join(', ')}${more.length > 3 ? ', …' : ''}, a trained head, which has no sum with others; give adapters of a model without one`,
    );
  return scales;
};
