import { type Adapted, attach, load, makeBetween } from '@peftjs/core';
import { type Executor, PeftError } from '@peftjs/tensor';
import { adamw, makeTrainStep } from '@peftjs/trainer';
import { loadModel } from '@peftjs/transformer';
import type { Golden } from './goldens.ts';
import { modelDir, type PythonGolden } from './python-golden.ts';

/** Rows, and tokens in each, of the batch of every golden. */
export const rows = 2;
export const context = 40;

/** An adapter in a folder, on the model of a golden. */
export const openFile = async ({ model, formats, load: read = load }: Golden, dir: string): Promise<Adapted> =>
  read(await loadModel(modelDir(model)), dir, formats);

/** Names of our parameters by the names that Python has for them. */
export const namesThere = (
  { nameThere }: Golden,
  { method, params }: Adapted,
  known: PythonGolden,
): Map<string, string> =>
  new Map(
    [...params.keys()].map((name) => {
      const candidates = [method.keys?.[name], `base_model.model.${name}`, `base_model.${name}`, name];
      return [nameThere?.(name) ?? candidates.find((n) => n && known.gradients.has(n)) ?? name, name];
    }),
  );

/** The adapter as it is trained. */
export const openTrained = async (golden: Golden, record: PythonGolden, executor: Executor): Promise<Adapted> => {
  if (!golden.trained) return openFile(golden, record.adapterDir);
  const adapted = attach(await loadModel(modelDir(golden.model)), [golden.trained]);
  for (const [there, name] of namesThere(golden, adapted, record)) {
    const values = record.initial.get(there);
    if (!values) throw new PeftError('bad-data', `${golden.name}: the golden has no first value of ${there}`);
    await executor.write(adapted.params.get(name)!, values);
  }
  return adapted;
};

/** Three steps of AdamW on the batch of the golden, and what the method decides after each; gives the losses. */
export const trainThreeSteps = async (
  { weightDecay = 0 }: Golden,
  adapted: Adapted,
  { ids, labels, epsilon }: PythonGolden,
  executor: Executor,
  afterStep: (step: number) => Promise<void> = async () => {},
): Promise<number[]> => {
  const optimizer = adamw({ weightDecay, eps: epsilon });
  const step = await makeTrainStep(adapted, { executor, optimizer });
  const shape = [rows, context];
  const batch = { rows, columns: { ids, labels }, shapes: { ids: shape, labels: shape } };
  const between = makeBetween({ executor, params: adapted.params.values(), state: step.state, rewarm: () => {} });
  const losses: number[] = [];
  for (let i = 0; i < 3; i++) {
    await step.run(i, 1e-2, [batch]);
    losses.push((await step.results())[0]!.loss);
    if (adapted.decision?.due(i + 1)) await adapted.decision.run(i + 1, between);
    await afterStep(i + 1);
  }
  step.close();
  return losses;
};
