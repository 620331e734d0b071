import type { Adapted } from '@peftjs/core';
import {
  checkOptions,
  evaluate,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type Rules,
  sub,
  type Tensor,
  transpose,
} from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { type ComputedLora, loraOf } from './lora-of.ts';
import type { Product } from './truncated-svd.ts';

/** How much of each layer's change a LoRA keeps: one of `rank` and `share`. */
export interface ToLoraOptions extends OnExecutor {
  /** The rank of every layer; less where a layer has no more. */
  readonly rank?: number;
  /** The share of ‖ΔW‖² to keep, in (0, 1]: each layer has the lowest rank that does. */
  readonly share?: number;
}

const rules: Rules<ToLoraOptions> = { ...onExecutor, rank: mustBe.count, share: mustBe.share };

const changed = <T>(now: ReadonlyMap<Path, T>, before: ReadonlyMap<Path, T>): [Path, T, T][] =>
  [...now].flatMap(([path, part]) => (part === before.get(path) ? [] : [[path, part, before.get(path)!] as const]));

/** Throws `not-mergeable` for what a LoRA cannot say. */
const checkSayable = ({ base, model, method }: Adapted<Model>): void => {
  const layer = changed(model.linears, base.linears);
  const biased = layer.filter(([, now, before]) => now.dense().bias !== before.dense().bias).map(([path]) => path);
  const odd = [...biased, ...changed(model.norms, base.norms).map(([path]) => path)];
  if (!method.merges || odd.length > 0)
    throw new PeftError(
      'not-mergeable',
      odd.length > 0
        ? `toLora: ${method.name} also changes biases or norms (${odd.slice(0, 3).join(', ')}${odd.length > 3 ? ', …' : ''}), which a LoRA does not; merge it instead`
        : `toLora: ${method.name} does more than change weights, so there is no LoRA of it`,
    );
};

/**
 * A LoRA that does what another adapter does: ΔW = W' − W of each layer and embedding that it changes, brought to a rank by singular value decomposition.
 * Any method that merges can so be used where only LoRA is known, be made smaller, or be summed with others (`mergeAdapters`). `errors` says how
 * much of each ΔW was left out: 0 where the rank suffices. Works on the host in f64, one layer after the other. Throws `bad-option`;
 * `not-mergeable` where a method depends on its input or changes biases or norms.
 */
export const toLora = async <M extends Model>(
  adapted: Adapted<M>,
  options: ToLoraOptions,
): Promise<ComputedLora<M>> => {
  checkOptions('toLora', rules, options);
  const { executor, rank, share } = options;
  if ((rank === undefined) === (share === undefined) || share === 0)
    throw new PeftError('bad-option', 'toLora: give rank, or share above 0, and not both');
  checkSayable(adapted);
  const kept = rank !== undefined ? { rank } : { share: share! };
  const { keptOf } = await import('./truncated-svd.ts'); // with ml-matrix, which nothing else needs
  const products = new Map<Path, Product>();
  const errors = new Map<Path, number>();
  const take = async (path: Path, delta: Tensor): Promise<void> => {
    const [rows, columns] = delta.shape as readonly [number, number];
    const values = (await evaluate({ delta }, { executor }))['delta'] as Float32Array;
    const { product, error } = keptOf(rows, columns, values, kept);
    products.set(path, product);
    errors.set(path, error);
  };
  const { model, base } = adapted;
  for (const [path, now, before] of changed(model.linears, base.linears))
    await take(path, sub(now.dense().weight, before.dense().weight));
  for (const [path, now, before] of changed(model.embeddings, base.embeddings))
    await take(path, transpose(sub(now.weight, before.weight), [1, 0]));
  return { adapted: loraOf(base, products), errors };
};
