import { defineMethod, type MethodFactory, type Patch, rate } from '@peftjs/core';
import { constant } from '@peftjs/tensor';
import type { Around, Linear, Path } from '@peftjs/transformer';
import { adapterAfter, attentionUpdates, behind, promptFor, promptRows, withRows } from './modules.ts';
import { noahTower } from './noah-tower.ts';
import { type NoahSizes, requireSizes, sizesOption } from './sizes.ts';

/** Options of `noah`. */
export interface NoahOptions extends Partial<NoahSizes> {
  /** Probability that a value of a prompt, an input of LoRA or a middle value of an adapter is dropped while training. Default 0.1. */
  readonly dropout?: number;
}

/** Where NOAH was published, and the rates of its code. */
export const noahPaper = {
  authors: 'Zhang et al.',
  year: 2022,
  title: 'Neural Prompt Search',
  url: 'https://arxiv.org/abs/2206.04673',
} as const;

/**
 * NOAH's structure in a model of pictures: in each layer a prompt, LoRA in attention and an adapter after the MLP, of sizes of the layer's own. m trained rows [m, d] beside those of the patches take the place of the prompt of the
 * layer before; a layer of 0 rows keeps what became of those. Queries, keys and values [q; k; v] ← W·x + B·A·dropout(x), A [r, d] of all three from U(−1/√d, 1/√d), B [3d, r] zero at the start, without a
 * scale. y ← mlp(x), y ← y + W₂·dropout(h(W₁·y + b₁)) + b₂ with h(v) = v·σ(1.702·v), W₁ [w, d] and W₂ [d, w] from Glorot's uniform distribution. So it does not begin as the identity. The authors' rows of the embedding, which the
 * first layer throws away, are left out. `noahSupernet` and `search` find the sizes; by default all are 5.
 * Files have a layout of our own, whose tensors have the authors' names. Does not merge. Throws `bad-option`, also when attached where there is not one size for each layer, and `no-match` for a model that reads no pictures.
 * Zhang, Zhou & Liu, 2022. https://arxiv.org/abs/2206.04673 By the authors' code, https://github.com/ZhangYuanhan-AI/NOAH, model/supernet_vision_transformer_timm.py and model/module/adapter_super.py.
 */
export const noah: MethodFactory<NoahOptions> = defineMethod<NoahOptions>({
  name: 'noah',
  formula: {
    merges: false,
    options: {
      prompts: sizesOption('prompt_dims'),
      ranks: sizesOption('lora_dims'),
      widths: sizesOption('adapter_dims'),
      dropout: rate('dropout', 0.1),
    },
    attach: (model, scope, { dropout, ...sizes }): Patch => {
      const { hiddenSize, embed, blocks } = noahTower(model, 'noah');
      requireSizes('noah', sizes, blocks.length);
      const linear = new Map<Path, (base: Linear) => Linear>();
      const mlp = new Map<Path, Around<'mlp'>>();
      const block = new Map<Path, Around<'block'>>();
      const prompts = blocks.map((own, i) => {
        const size = sizes.prompts[i]!;
        return size > 0 ? promptRows(scope.at(own.block), { hiddenSize, size, dropout }) : null;
      });
      const begun = sizes.prompts[0]!;
      let before = begun;
      for (const [i, own] of blocks.entries()) {
        const at = scope.at(own.block);
        const of = (size: number) => ({ hiddenSize, size, dropout, used: null });
        const [rank, width] = [sizes.ranks[i]!, sizes.widths[i]!];
        if (rank > 0) for (const [path, wrap] of attentionUpdates(at, own, of(rank))) linear.set(path, wrap);
        if (width > 0) mlp.set(own.mlp, adapterAfter(at, of(width)));
        const [prompt, count] = [i > 0 ? prompts[i]! : null, before];
        const after = sizes.prompts[i]! || before;
        before = after;
        // What the embedding put in front is dropped behind the last layer, so as many rows must be there again.
        const isRestored = i === blocks.length - 1 && after !== begun;
        if (!prompt && !isRestored) continue;
        block.set(own.block, (x, next, { pass }) => {
          const { batch } = pass;
          const rest = pass.get(behind)!;
          const y = next(prompt ? withRows(x, promptFor(at, prompt, dropout, batch), count, rest) : x);
          if (!isRestored) return y;
          const none = constant(new Float32Array(batch * begun * hiddenSize), [batch, begun, hiddenSize]);
          return withRows(y, begun > 0 ? none : null, after, rest);
        });
      }
      const begin: Around<'embed'> = (pixels, next, { pass }) => {
        const rows = next(pixels);
        pass.put(behind, rows.shape[1]!);
        const [prompt] = prompts;
        return prompt ? withRows(rows, promptFor(scope, prompt, dropout, pass.batch), 0, rows.shape[1]!) : rows;
      };
      return { linear, around: { embed: new Map([[embed, begin]]), block, mlp } };
    },
  },
  files: { peftType: 'PEFTJS_NOAH' },
  card: {
    about: 'prompts, LoRA and adapters of sizes that a search found for each layer',
    paper: noahPaper,
    learningRate: 1e-3,
  },
});
