import type { Adapted } from '@peftjs/core';
import { PeftError, type Tensor } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { namesOf, scalesOf } from '../algebra/scales-of.ts';

/** LoRAs by the name of the folder that each is in. */
export type XLoraExperts = Readonly<Record<string, Adapted<Model>>>;

/** An expert's part of a layer: x·Aᵀ·Bᵀ·scale. */
export interface ExpertLayer {
  /** Its number among the experts. */
  readonly expert: number;
  /** [rank, in], [out, rank] */
  readonly a: Tensor;
  readonly b: Tensor;
  readonly scale: number;
  /** Probability that it drops an input while training. */
  readonly dropout: number;
}

/** The experts of each layer that has some, in the model's order. Throws `bad-option` for adapters that are no LoRA of linear layers alone, or do not fit. */
export const expertLayers = (model: Model, experts: XLoraExperts): ReadonlyMap<Path, readonly ExpertLayer[]> => {
  const found = new Map<Path, ExpertLayer[]>();
  for (const [expert, [name, adapted]] of Object.entries(experts).entries()) {
    const dropout = Number(adapted.method.settled?.(adapted.base)?.options['dropout'] ?? 0);
    for (const [path, scale] of scalesOf(`xLora: expert ${name}`, adapted)) {
      const [a, b] = namesOf(adapted.base, path).map((of) => adapted.state.get(of)!) as [Tensor, Tensor];
      const layer = model.linears.get(path);
      if (!layer || a.shape[1] !== layer.inDim || b.shape[0] !== layer.outDim)
        throw new PeftError(
          'bad-option',
          `xLora: expert ${name} changes ${path}, which is ${layer ? 'of another size in this model' : 'no linear layer of it'}; give LoRAs of linear layers of this base`,
        );
      found.set(path, [...(found.get(path) ?? []), { expert, a, b, scale, dropout }]);
    }
  }
  return new Map([...model.linears.keys()].flatMap((path) => (found.has(path) ? [[path, found.get(path)!]] : [])));
};
