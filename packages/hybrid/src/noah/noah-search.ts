import { type Adapted, attach, type State } from '@peftjs/core';
import { checkOptions, type OnExecutor, onExecutor, PeftError, type Shape } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import { noah } from './noah.ts';
import { activeSizes, type NoahSupernetOptions, noahSupernet } from './noah-supernet.ts';
import { noahTower } from './noah-tower.ts';
import { kinds, type NoahSizes, requireSizes, valuesIn } from './sizes.ts';

/** A structure as a point of `noahSpace`: for each kind how many layers have it, and its size in each layer. */
export type NoahPoint = Readonly<Record<`${'prompts' | 'ranks' | 'widths'}${'Depth' | number}`, number>>;

/**
 * The space of a supernet in a model of pictures, for `search`: for each of `prompts`, `ranks` and `widths` how many layers have the module (`promptsDepth`) and its size in each layer (`prompts0`, `prompts1`, …), of which those
 * below the depth count. Choices are the supernet's, or its defaults. Throws as `noahSupernet`.
 * Zhang, Zhou & Liu, 2022. https://arxiv.org/abs/2206.04673
 */
export const noahSpace = (
  model: Model,
  options: NoahSupernetOptions = {},
): { readonly [D in keyof NoahPoint]: readonly number[] } => {
  const { blocks } = noahTower(model, 'noahSpace');
  const made = noahSupernet(options).config(model) as Readonly<Record<string, readonly number[]>>;
  const choices = [made['prompt_choices']!, made['lora_choices']!, made['adapter_choices']!];
  return Object.fromEntries(
    kinds.flatMap((kind, k) => [
      [`${kind}Depth`, made['depth_choices']!],
      ...blocks.map((_, i) => [`${kind}${i}`, choices[k]!]),
    ]),
  );
};

/** The sizes of a point of `noahSpace`: options of `noah`. */
export const noahSizes = (point: NoahPoint): NoahSizes => {
  const of = (kind: (typeof kinds)[number]): number[] => {
    const layers = Object.keys(point).filter((name) => name.startsWith(kind) && name !== `${kind}Depth`).length;
    return Array.from({ length: layers }, (_, i) => (i < point[`${kind}Depth`] ? point[`${kind}${i}`]! : 0));
  };
  return { prompts: of('prompts'), ranks: of('ranks'), widths: of('widths') };
};

/** How many values `noah` of such sizes trains in a model, without the task's head: `parameters` of `search`. Throws as `noah`. */
export const noahValues = (model: Model, sizes: NoahSizes): number => {
  const tower = noahTower(model, 'noahValues');
  requireSizes('noahValues', sizes, tower.blocks.length);
  return valuesIn(tower, sizes);
};

/** The supernet alone, with no more than it has. Throws `bad-option`. */
const requireSupernet = (who: string, { base, methods, state }: Adapted<Model>, sizes: NoahSizes): void => {
  const [first, ...more] = methods;
  if (first?.name !== 'noahSupernet' || more.length > 0)
    throw new PeftError(
      'bad-option',
      `${who}: needs an adapter of noahSupernet alone, got ${methods.map(({ name }) => name).join(', ')}`,
    );
  const { blocks } = noahTower(base, who);
  requireSizes(who, sizes, blocks.length);
  const { block } = blocks[0]!;
  const ends = ['visual_prompt_token', 'LoRA_a.weight', 'adapter.ln1.weight'];
  const odd = kinds.filter((kind, i) => Math.max(...sizes[kind]) > state.get(`${block}.${ends[i]}`)!.shape[0]!);
  if (odd.length > 0)
    throw new PeftError(
      'bad-option',
      `${who}: ${odd.map((kind) => `${kind} ${sizes[kind].join(', ')}`).join('; ')}: the supernet has smaller ones alone`,
    );
};

/**
 * Lets a supernet compute a structure outside of training, of this and all later passes, also of programs that were compiled before. An objective of `search` measures so what shares its weights, without training anew.
 * Throws `bad-option` for another adapter, and sizes that the supernet has not.
 */
export const useSizes = async (supernet: Adapted<Model>, sizes: NoahSizes, options: OnExecutor): Promise<void> => {
  checkOptions('useSizes', onExecutor, options);
  requireSupernet('useSizes', supernet, sizes);
  const values = Float32Array.from(kinds.flatMap((kind) => [...sizes[kind]]));
  await options.executor.write(supernet.state.get(activeSizes)!, values);
};

/** The first entries along each axis of a tensor. */
const corner = (data: ArrayLike<number>, shape: Shape, part: Shape): Float32Array => {
  const [columns, wide] = [shape[1] ?? 1, part[1] ?? 1];
  return Float32Array.from({ length: part[0]! * wide }, (_, i) => data[Math.floor(i / wide) * columns + (i % wide)]!);
};

/**
 * A structure cut out of a supernet: an ordinary adapter of `noah` whose values are the first rows and columns of the supernet's. The authors train the structure that was found anew, from first values, which is `attach(model, [noah(sizes)])`; this
 * goes on from what the supernet learned. Throws `bad-option` for another adapter, and sizes that the supernet has not.
 */
export const subnetOf = async <M extends Model>(
  supernet: Adapted<M>,
  sizes: NoahSizes,
  options: OnExecutor,
): Promise<Adapted<M>> => {
  checkOptions('subnetOf', onExecutor, options);
  requireSupernet('subnetOf', supernet, sizes);
  const { dropout } = supernet.method.config(supernet.base) as { readonly dropout?: number };
  const own = attach(supernet.base, [noah({ ...sizes, dropout: dropout ?? 0 })]);
  const state = new Map<string, State extends ReadonlyMap<string, infer T> ? T : never>();
  for (const [name, { shape }] of own.state) {
    const from = supernet.state.get(name)!;
    const values = await options.executor.read(from);
    const isWhole = shape.every((size, axis) => size === from.shape[axis]);
    state.set(name, { shape, data: isWhole ? values : corner(values, from.shape, shape) });
  }
  return attach(supernet.base, [noah({ ...sizes, dropout: dropout ?? 0 })], { state });
};
