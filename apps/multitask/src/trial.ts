import { type Adapted, attach, averageAdapters, type Method, snapshot } from '@peftjs/core';
import { loraHub } from '@peftjs/lora';
import { rankPrompts } from '@peftjs/multitask';
import { measure, type Score } from './measure.ts';
import {
  attemptOf,
  type Contestant,
  contestants,
  fromPrompt,
  type How,
  ofOneTask,
  parametersOf,
  requireEqual,
} from './methods.ts';
import { type Bench, makeTraining, type Settings } from './training.ts';

/** A method in one run: a line of the record. */
export interface Trial extends Settings {
  readonly method: string;
  readonly seed: number;
  /** Peak learning rate. */
  readonly rate: number;
  /** Trained values, of all tasks together. */
  readonly parameters: number;
  readonly seconds: number;
  /** Scores on the tasks that it was trained on, by name. */
  readonly tasks: Readonly<Record<string, Score>>;
  /** On the task that was left out, after a few steps on its few examples. */
  readonly transfer: Score;
}

const single = 'lora for each task';
const average = 'average of those of lora';
const hub = 'loraHub of those of lora';
const arithmetic = 'lLora for each task, summed';
const prompts = 'promptTuning for each task';
const nearest = 'spot of those of promptTuning';
const attention = 'attempt of those of promptTuning';

/** The runs of one seed, in their order, each by the first name of what is made together, with its learning rate. */
export const trialRuns = ({ model, suite }: Bench): readonly Pick<Contestant, 'name' | 'rate'>[] => [
  { ...ofOneTask.lora, name: single },
  ...contestants(model, suite.tasks.length + 1),
  { ...ofOneTask.lLora, name: arithmetic },
  { ...ofOneTask.promptTuning, name: prompts },
];

/** The names of all trials of one seed. */
export const trialNames = (bench: Bench): readonly string[] => {
  const others: Readonly<Record<string, readonly string[]>> = {
    [single]: [hub, average],
    [prompts]: [nearest, attention],
  };
  return trialRuns(bench).flatMap(({ name }) => [name, ...(others[name] ?? [])]);
};

/** Makes the trials of one seed, with all learning rates times a factor. */
export const makeTrials = (bench: Bench, seed: number, factor = 1): ((name: string) => Promise<readonly Trial[]>) => {
  const { model, executor, suite, settings } = bench;
  const { every, few, batches, trained, ofEach, scores, fewShot } = makeTraining(bench, seed);
  const all = few + 1;
  const paced = <T extends How>(own: T): T => ({ ...own, rate: own.rate * factor });
  const fresh = (method: Method): Adapted => attach(model, [method], { seed });
  let from = performance.now();
  const trial = (
    method: string,
    { rate, parameters }: Pick<Trial, 'rate' | 'parameters'>,
    tasks: Record<string, Score>,
    transfer: Score,
  ): Trial => {
    const seconds = Math.round((performance.now() - from) / 1000);
    from = performance.now();
    return { method, seed, rate, ...settings, parameters, seconds, tasks, transfer };
  };
  /** Each adapter on its own task. */
  const eachOn = async (adapters: readonly Adapted[], how: How): Promise<Record<string, Score>> => {
    const own: Record<string, Score> = {};
    for (const task of every) Object.assign(own, await scores(adapters[task]!, [task], how));
    return own;
  };
  const ofSingles = async (): Promise<readonly Trial[]> => {
    const own = paced(ofOneTask.lora);
    const cost = { rate: own.rate, parameters: all * parametersOf(model, own.method) };
    const adapters = await ofEach(own);
    const alone = trial(single, cost, await eachOn(adapters, own), await fewShot(fresh(own.method), own));
    const { adapted } = await loraHub(adapters, { executor, data: batches(few, false), evaluations: 20 });
    const mixed = trial(hub, cost, {}, (await scores(adapted, [few], own))[suite.leftOut.name]!);
    const soup = await averageAdapters(adapters, { executor });
    return [alone, mixed, trial(average, cost, await scores(soup, every, own), await fewShot(soup, own))];
  };
  /** Task arithmetic: the factor is the one of four with the least loss on some of the training examples. */
  const ofSum = async (): Promise<Trial> => {
    const own = paced(ofOneTask.lLora);
    const adapters = await ofEach(own);
    const known = { all: every.map((task) => batches(task, false)[0]!) };
    let best: { readonly loss: number; readonly adapted: Adapted } | null = null;
    for (const weight of [0.2, 0.4, 0.7, 1]) {
      const weights = adapters.map(() => weight);
      const adapted = await averageAdapters(adapters, { executor, weights, normalize: false });
      const { loss } = (await measure(adapted.model, known, executor))['all']!;
      if (!best || loss < best.loss) best = { loss, adapted };
    }
    const tasks = await scores(best!.adapted, every, own);
    const cost = { rate: own.rate, parameters: all * parametersOf(model, own.method) };
    return trial(arithmetic, cost, tasks, await fewShot(best!.adapted, own));
  };
  const ofPrompts = async (): Promise<readonly Trial[]> => {
    const own = paced(ofOneTask.promptTuning);
    const cost = { rate: own.rate, parameters: all * parametersOf(model, own.method) };
    const adapters = await ofEach(own);
    const target = fresh(own.method);
    const alone = trial(prompts, cost, await eachOn(adapters, own), await fewShot(target, own));
    const sources = await Promise.all(adapters.map((adapted) => snapshot(adapted, { executor })));
    const named = Object.fromEntries(sources.map((source, i) => [i, source]));
    const [first] = rankPrompts(await snapshot(target, { executor }), named);
    const moved = fresh(fromPrompt(named[Number(first!.name)]!));
    const near = trial(nearest, cost, {}, await fewShot(moved, own));
    const { method, ...how } = paced(attemptOf(sources, all));
    requireEqual(model, all, [{ name: attention, method }]);
    const together = await trained(fresh(method), every, settings.steps, how);
    const tasks = await scores(together, every, how);
    const values = { rate: how.rate, parameters: parametersOf(model, method) };
    return [alone, near, trial(attention, values, tasks, await fewShot(together, how))];
  };
  return async (name) => {
    from = performance.now();
    if (name === single) return ofSingles();
    if (name === arithmetic) return [await ofSum()];
    if (name === prompts) return ofPrompts();
    const { method, ...how } = paced(contestants(model, all).find((one) => one.name === name)!);
    const adapted = await trained(fresh(method), every, settings.steps, how);
    const tasks = await scores(adapted, every, how);
    const cost = { rate: how.rate, parameters: parametersOf(model, method) };
    return [trial(name, cost, tasks, await fewShot(adapted, how))];
  };
};
