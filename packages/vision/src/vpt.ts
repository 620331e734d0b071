import { count, defineMethod, flag, type MethodFactory, rate, requireOneWidth, uniform } from '@peftjs/core';
import { broadcastTo, concat, slice, type Tensor } from '@peftjs/tensor';
import { type Around, type Path, slot } from '@peftjs/transformer';
import { apart, pictureTower } from './picture-tower.ts';

/** Options of `vpt`. */
export interface VptOptions {
  /** Rows m of a prompt. Default 5. */
  readonly length?: number;
  /** Whether each layer has a prompt of its own, which takes the place of what became of the one before: VPT-deep. Default false: VPT-shallow. */
  readonly deep?: boolean;
  /** Probability that a value of a prompt is dropped while training. Default 0. */
  readonly dropout?: number;
}

/**
 * Visual prompt tuning: m trained rows P [m, d], without positions, beside those of a picture's patches; with `deep` each further layer l reads P_l in
 * the place of what the layer before made of its prompt, and all of them are one tensor [layers − 1, m, d]. First values are from U(−v, v), v = √(6 / (channels · high · wide + d)) for patches of high × wide
 * pixels. The rows stand before the class's; the authors put them after it, and no row of a tower without masks knows its place. Does not merge. Throws
 * `bad-option`, and when attached `no-match` for a model that reads no pictures.
 * Jia and others, 2022. https://arxiv.org/abs/2203.12119, https://github.com/KMnP/vpt
 */
export const vpt: MethodFactory<VptOptions> = defineMethod<VptOptions>({
  name: 'vpt',
  formula: {
    merges: false,
    options: { length: count('num_tokens', 5), deep: flag('deep', false), dropout: rate('prompt_dropout', 0) },
    attach: (model, scope, { length, deep, dropout }) => {
      const { tower, picture, patch, paths } = pictureTower(model, 'vpt', 'promptTuning, or prefixTuning');
      requireOneWidth(model, 'vpt', tower);
      const { hiddenSize } = tower;
      const init = uniform(Math.sqrt(6 / (picture[0] * patch[0] * patch[1] + hiddenSize)));
      const first = scope.param('prompt_embeddings', [length, hiddenSize], init);
      const later = deep ? paths('block').filter((path) => path !== tower.paths('block')[0]) : [];
      const all = later.length > 0 && scope.param('deep_prompt_embeddings', [later.length, length, hiddenSize], init);
      // Methods that come later put their rows before these.
      const behind = slot<number>('rows behind the prompt');
      const rowsFor = (prompt: Tensor, batch: number): Tensor =>
        broadcastTo(scope.dropout(prompt, dropout), [batch, length, hiddenSize]);
      const begin: Around<'embed'> = (pixels, next, { pass }) => {
        const rows = next(pixels);
        pass.put(behind, rows.shape[1]!);
        return concat(rowsFor(first, pass.batch), rows, { axis: 1 });
      };
      const replace =
        (prompt: Tensor): Around<'block'> =>
        (x, next, { pass }) => {
          if (pass.get(apart)) return next(x);
          const [, rows] = x.shape as readonly [number, number];
          const end = rows - pass.get(behind)!;
          const part = (from: number, to: number): Tensor => slice(x, { axis: 1, start: from, end: to });
          const prompted = concat(rowsFor(prompt, pass.batch), part(end, rows), { axis: 1 });
          return next(end > length ? concat(part(0, end - length), prompted, { axis: 1 }) : prompted);
        };
      return {
        around: {
          embed: new Map([[paths('embed')[0]!, begin]]),
          block: new Map(
            all
              ? later.map((path, i): [Path, Around<'block'>] => [
                  path,
                  replace(slice(all, { axis: 0, start: i, end: i + 1 })),
                ])
              : [],
          ),
        },
      };
    },
  },
  files: { peftType: 'PEFTJS_VPT' },
  card: {
    about: 'rows beside the patches of a picture, in each layer with `deep`',
    paper: {
      authors: 'Jia et al.',
      year: 2022,
      title: 'Visual Prompt Tuning',
      url: 'https://arxiv.org/abs/2203.12119',
    },
    learningRate: 1e-3,
  },
});
