import { defineMethod, type MethodFactory, type Patch, rate, type Scope } from '@peftjs/core';
import {
  add,
  attention,
  broadcastTo,
  concatAll,
  constant,
  greater,
  less,
  mul,
  PeftError,
  reshape,
  select,
  slice,
  type Tensor,
} from '@peftjs/tensor';
import { type Around, type KeyValue, type Linear, type Path, slot } from '@peftjs/transformer';
import { adapterAfter, attentionUpdates, behind, promptFor, promptRows, rowsOf, withRows } from './modules.ts';
import { noahPaper } from './noah.ts';
import { noahTower } from './noah-tower.ts';
import { choicesOption, kinds, layersOf } from './sizes.ts';

/** Options of `noahSupernet`. */
export interface NoahSupernetOptions {
  /** Sizes of prompts to choose from, growing. Default 1, 5, 10, as for the other two. */
  readonly prompts?: readonly number[];
  /** Ranks of LoRA to choose from. */
  readonly ranks?: readonly number[];
  /** Widths of adapters to choose from. */
  readonly widths?: readonly number[];
  /** How many layers, from the first, may have modules of one kind. Default a quarter, half, three quarters and all of them. */
  readonly depths?: readonly number[];
  /** As in `noah`. */
  readonly dropout?: number;
}

/** The name of the buffer that says which sizes are in use outside of training: f32 [3, layers], kinds in their order. */
export const activeSizes = 'active_sizes';

/** Quarters of a number of layers, those that are not zero, each once. */
const quarters = (layers: number): number[] => [
  ...new Set([1, 2, 3, 4].map((q) => Math.floor((layers * q) / 4)).filter((n) => n > 0)),
];

/** One of some numbers for each uniform value, all alike often: Σₖ (cₖ − cₖ₋₁)·[u ≥ k/n]. */
const chosen = (uniform: Tensor, choices: readonly number[]): Tensor =>
  choices
    .slice(1)
    .reduce(
      (sum, choice, i) => add(sum, select(less(uniform, (i + 1) / choices.length), 0, choice - choices[i]!)),
      add(mul(uniform, 0), choices[0]!),
    );

/** 0, 1, … as f32 [count]. */
const numbers = (count: number): Tensor =>
  constant(
    Float32Array.from({ length: count }, (_, i) => i),
    [count],
  );

/** Sizes of a kind in every layer, f32 [layers], drawn anew. */
const drawnSizes = (
  draw: NonNullable<Scope['draw']>,
  layers: number,
  choices: readonly number[],
  depths: readonly number[],
): Tensor => select(less(numbers(layers), chosen(draw([1]), depths)), chosen(draw([layers]), choices), 0);

/** 1 for the first so many of `count`, else 0; `used` f32 [1]. */
const usedOf = (count: number, used: Tensor): Tensor => select(less(numbers(count), used), 1, 0);

/** Keys and values that attention is about to read. */
const read = slot<KeyValue>('noah.read');

/**
 * The supernet in which NOAH looks for sizes: `noah` of the largest ones, of which every training pass uses a part, drawn anew: for each kind of module the number of layers that have one, out of `depths`, and the size in each of those, out of its
 * choices; the first rows of a prompt, ranks and middle values are used, so that structures share their weights. Outside of training the sizes of the buffer `active_sizes` are used, all of the largest at first: `useSizes` writes others, and a
 * compiled program then computes those. `subnetOf` cuts an ordinary adapter of `noah` out of it.
 * Attach it alone. Files have a layout of our own. Does not merge. Throws as `noah`, and when attached `bad-option` for more `depths` than layers.
 * Zhang, Zhou & Liu, 2022. https://arxiv.org/abs/2206.04673 By the authors' code, https://github.com/ZhangYuanhan-AI/NOAH, supernet_engine_prompt.py and experiments/NOAH/supernet.
 */
export const noahSupernet: MethodFactory<NoahSupernetOptions> = defineMethod<NoahSupernetOptions>({
  name: 'noahSupernet',
  formula: {
    merges: false,
    options: {
      prompts: choicesOption('prompt_choices', () => [1, 5, 10]),
      ranks: choicesOption('lora_choices', () => [1, 5, 10]),
      widths: choicesOption('adapter_choices', () => [1, 5, 10]),
      depths: choicesOption('depth_choices', (model) => quarters(layersOf(model))),
      dropout: rate('dropout', 0.1),
    },
    attach: (model, scope, { dropout, depths, ...choices }): Patch => {
      const { hiddenSize, embed, blocks } = noahTower(model, 'noahSupernet');
      const { length: layers } = blocks;
      if (depths.at(-1)! > layers)
        throw new PeftError(
          'bad-option',
          `noahSupernet: depths must not be above the ${layers} layers, got ${depths.join(', ')}`,
        );
      const largest = kinds.map((kind) => choices[kind].at(-1)!);
      const [most, rank, width] = largest as [number, number, number];
      const buffer = scope.buffer(activeSizes, [kinds.length, layers], () =>
        Float32Array.from(largest.flatMap((size) => new Array<number>(layers).fill(size))),
      );
      const active = kinds.map((kind, i) =>
        scope.draw
          ? drawnSizes(scope.draw, layers, choices[kind], depths)
          : reshape(slice(buffer, { axis: 0, start: i, end: i + 1 }), [layers]),
      );
      const sizeIn = (kind: number, layer: number): Tensor =>
        slice(active[kind]!, { axis: 0, start: layer, end: layer + 1 });
      const linear = new Map<Path, (base: Linear) => Linear>();
      const mlp = new Map<Path, Around<'mlp'>>();
      const block = new Map<Path, Around<'block'>>();
      const heads = new Map<Path, Around<'heads'>>();
      const kv = new Map<Path, Around<'kv'>>();
      let known: Tensor | null = null;
      const prompts = blocks.map((own) => promptRows(scope.at(own.block), { hiddenSize, size: most, dropout }));
      for (const [i, own] of blocks.entries()) {
        const at = scope.at(own.block);
        const of = (size: number, used: Tensor) => ({ hiddenSize, size, dropout, used: usedOf(size, used) });
        for (const [path, wrap] of attentionUpdates(at, own, of(rank, sizeIn(1, i)))) linear.set(path, wrap);
        mlp.set(own.mlp, adapterAfter(at, of(width, sizeIn(2, i))));
        const rows = sizeIn(0, i);
        const has = greater(rows, 0);
        const count: Tensor = known ? select(has, rows, known) : rows;
        known = count;
        if (i > 0)
          block.set(own.block, (x, next, { pass }) => {
            const rest = pass.get(behind)!;
            const end = x.shape[1]! - rest;
            const mine = select(has, promptFor(at, prompts[i]!, dropout, pass.batch), rowsOf(x, end - most, end));
            return next(withRows(x, mine, most, rest));
          });
        kv.set(own.attn, (own, next, { pass }) => {
          const all = next(own);
          pass.put(read, all);
          return all;
        });
        heads.set(own.attn, (q, next, { pass }) => {
          next(q); // makes keys and values; what it attends to is not used
          const { k, v } = pass.get(read)!;
          const [keys, rest] = [k.shape[2]!, pass.get(behind)!];
          const others = (count: number): Tensor[] =>
            count > 0 ? [constant(new Float32Array(count).fill(1), [count])] : [];
          const seen = concatAll([...others(keys - rest - most), usedOf(most, count), ...others(rest)], 0);
          return attention(q, k, v, { causal: false, keyMask: broadcastTo(seen, [pass.batch, keys]) });
        });
      }
      const begin: Around<'embed'> = (pixels, next, { pass }) => {
        const rows = next(pixels);
        pass.put(behind, rows.shape[1]!);
        return withRows(rows, promptFor(scope, prompts[0]!, dropout, pass.batch), 0, rows.shape[1]!);
      };
      return { linear, around: { embed: new Map([[embed, begin]]), block, heads, kv, mlp } };
    },
  },
  files: { peftType: 'PEFTJS_NOAH_SUPERNET' },
  card: {
    about: 'the largest prompts, LoRA and adapters of a search, of which each pass uses a part',
    paper: noahPaper,
    learningRate: 5e-4,
  },
});
