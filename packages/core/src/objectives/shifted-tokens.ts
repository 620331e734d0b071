import type { Tensor } from '@peftjs/tensor';
import type { Embedding, TaskModel } from '@peftjs/transformer';
import type { Objective, Views } from '../objective.ts';

/** A view whose embedded tokens are moved: `shift` of their rows [..., tokens, d], and the path of their table. Rows that prompts put in front stay. */
export const shiftedTokens = (view: TaskModel, shift: (rows: Tensor, path: string) => Tensor): TaskModel => {
  const embeddings = view.towers.flatMap(({ paths }): [string, Embedding][] =>
    paths('embed').flatMap((path) => {
      const embedding = view.embeddings.get(path);
      return embedding
        ? [[path, { ...embedding, apply: (ids, call) => shift(embedding.apply(ids, call), path) }] as const]
        : [];
    }),
  );
  return view.with({ embeddings: new Map(embeddings) });
};

/** Views with another training view. Not spread: the base is asked for by those alone who need it. */
export const trainingAs = (views: Views, train: () => TaskModel): Views =>
  Object.create(views, { train: { value: train } }) as Views;

/** A loss with what another objective says of its losses. */
export const reportingAs = (
  { metrics, measures }: Objective,
  loss: (views: Views, inputs: Parameters<Objective>[1]) => ReturnType<Objective>,
): Objective => Object.assign(loss, { ...(metrics && { metrics }), ...(measures && { measures }) });
