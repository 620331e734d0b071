import { PeftError, stopGradient, type Tensor } from '@peftjs/tensor';
import { addLosses, type TaskModel, type TaskRun } from '@peftjs/transformer';
import type { Objective } from '../objective.ts';
import { divergence } from './divergence.ts';

/** A view that notes the passes whose loss or outputs are read. */
const noting = (view: TaskModel, runs: TaskRun<Tensor>[]): TaskModel => ({
  ...view,
  run: (inputs, options) => {
    const run = view.run(inputs, options);
    runs.push(run);
    return run;
  },
  loss: (inputs, options) => {
    const run = view.run(inputs, options);
    runs.push(run);
    return run.loss();
  },
  outputs: (inputs, options) => {
    const run = view.run(inputs, options);
    runs.push(run);
    return run.outputs();
  },
});

/**
 * A patch's `objective` that makes a second pass of the training view say what the first one of the objective says: α·½·(KL(q‖p) + KL(p‖q)) is added to the mean loss, with p and q the outputs of the two passes, each as fixed
 * where the other is compared with it; α is `weight`. Only what draws anew differs: routes, dropout. Throws `bad-program` for an objective without a pass of the training view.
 * Wang et al., 2022 (AdaMix). https://arxiv.org/abs/2205.12410
 */
export const consistency =
  (weight: number): ((inner: Objective) => Objective) =>
  (inner) =>
  (views, inputs) => {
    const runs: TaskRun<Tensor>[] = [];
    const loss = inner({ ...views, train: () => noting(views.train(), runs) }, inputs);
    const [first] = runs;
    if (!first) throw new PeftError('bad-program', 'consistency: the objective has no pass of the training view');
    const [p, q] = [first.outputs(), views.train().outputs(inputs)];
    const apart = addLosses(
      divergence('consistency', stopGradient(q), p, inputs),
      divergence('consistency', stopGradient(p), q, inputs),
    );
    return addLosses(loss, apart, weight / 2);
  };
