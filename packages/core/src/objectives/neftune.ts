import { add, checkOptions, mul, mustBe, type Rules, sub } from '@peftjs/tensor';
import type { Embedding, TaskModel } from '@peftjs/transformer';
import { type Objective, supervised, type Views } from '../objective.ts';

/** Options of `neftune`. */
export interface NeftuneOptions {
  /** α, the size of the noise. Default 5. */
  readonly alpha?: number;
  /** The objective that sees the noise. Default: the task's own loss. */
  readonly objective?: Objective;
}

const rules: Rules<NeftuneOptions> = { alpha: mustBe.positive, objective: mustBe.fn };

/** A view whose embeddings of tokens are noisy. */
const noisy = (view: TaskModel, alpha: number, draw: NonNullable<Views['draw']>): TaskModel => {
  const embeddings = view.towers.flatMap(({ paths }): [string, Embedding][] =>
    paths('embed').flatMap((path) => {
      const embedding = view.embeddings.get(path);
      if (!embedding) return [];
      return [
        [
          path,
          {
            ...embedding,
            apply: (ids, call) => {
              const rows = embedding.apply(ids, call);
              const [tokens, width] = rows.shape.slice(-2) as [number, number];
              const noise = sub(mul(draw(rows.shape), 2), 1);
              return add(rows, mul(noise, alpha / Math.sqrt(tokens * width)));
            },
          },
        ],
      ];
    }),
  );
  return view.with({ embeddings: new Map(embeddings) });
};

/**
 * NEFTune: noise at the embeddings of tokens while training, uniform in ±α/√(T·d) for rows of T tokens (padding counts) and width d, drawn anew in every pass; rows that prompts
 * put in front have none. As transformers' `neftune_noise_alpha`. Throws `bad-option`. Jain et al., 2023. https://arxiv.org/abs/2310.05914
 */
export const neftune = (options: NeftuneOptions = {}): Objective => {
  checkOptions('neftune', rules, options);
  const { alpha = 5, objective = supervised as Objective } = options;
  const { metrics, measures } = objective;
  return Object.assign(
    (views: Views, inputs: Parameters<Objective>[1]) => {
      const { draw } = views;
      if (!draw) return objective(views, inputs);
      const train = (): TaskModel => noisy(views.train(), alpha, draw);
      // Not spread: the base is asked for by those alone who need it.
      return objective(Object.create(views, { train: { value: train } }) as Views, inputs);
    },
    { ...(metrics && { metrics }), ...(measures && { measures }) },
  );
};
