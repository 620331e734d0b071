import { methods, openDevice } from '@peftjs/cli/shared';
import { type Executor, isPeftError } from '@peftjs/tensor';
import { loadGround } from './ground.ts';
import { length } from './length.ts';
import { firstPlaceOf } from './methods.ts';
import { bestPlace, nextPlace, rateAt } from './rates.ts';
import { type Sized, sized } from './sized.ts';
import { type Ground, lossesOf, tryOut } from './trial.ts';
import { base, openTrials, type Trial, type Trials, trialOf } from './trials.ts';

/** Seeds of the trials that are told; the first is that of the grid. */
const seeds = [0, 1, 2] as const;

interface Run {
  readonly ground: Ground;
  readonly executor: Executor;
  readonly trials: Trials;
  say(text: string): void;
}

const trial = async (method: Sized, place: number, seed: number, run: Run): Promise<Trial> => {
  const { ground, executor, trials, say } = run;
  const { name, options } = method;
  const learningRate = rateAt(place);
  const known = trials.find(name, options, learningRate, seed);
  if (known) return known;
  const ready = await method.ready();
  const outcome = await tryOut(ready.method, ground, length, { learningRate, seed, executor });
  const { parameters } = ready;
  const made = trialOf({ method: name, options, parameters, learningRate, seed, ...length }, outcome);
  await trials.add(made);
  say(
    `${name} ${parameters} rate ${learningRate} seed ${seed}: ${made.validation?.toFixed(4)} ${made.heldOut?.toFixed(4)} (${made.seconds} s)`,
  );
  return made;
};

/** The base model's losses, as if it were a method that trains nothing. */
const measureBase = async ({ ground, executor, trials }: Run): Promise<void> => {
  if (trials.find(base, {}, 0, seeds[0])) return;
  const what = { method: base, options: {}, parameters: 0, learningRate: 0, seed: seeds[0], ...length };
  await trials.add(trialOf(what, { ...(await lossesOf(ground.model, ground, executor)), planned: 0, seconds: 0 }));
};

/** The place of a method's best rate, by trials with the first seed. */
const findPlace = async (method: Sized, first: number, run: Run): Promise<number> => {
  const tried = new Map<number, number>();
  for (let place = nextPlace(first, tried); place !== null; place = nextPlace(first, tried))
    tried.set(place, (await trial(method, place, seeds[0], run)).validation ?? Number.POSITIVE_INFINITY);
  return bestPlace(tried);
};

/**
 * Makes the trials that are missing in a file, method by method in the order of `names`: the rates of all methods first, then the other seeds of the best ones. A method that fails is
 * told, and the others go on; how many did.
 */
export const runQuality = async (
  names: readonly string[],
  file: string,
  { threads, say }: { readonly threads: number; readonly say: (text: string) => void },
): Promise<number> => {
  const wanted = names.map((name) => methods.get(name)!);
  const executor = await openDevice('cpu', { threads });
  const run = { ground: await loadGround(), executor, trials: await openTrials(file, length), say };
  const found: { readonly method: Sized; readonly place: number }[] = [];
  let failed = 0;
  const tried = async (name: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (!isPeftError(error)) throw error;
      failed++;
      say(`${name} failed: ${error.message}`);
    }
  };
  try {
    await measureBase(run);
    for (const factory of wanted)
      await tried(factory.name, async () => {
        const method = await sized(factory, run.ground, length, executor);
        found.push({ method, place: await findPlace(method, firstPlaceOf(factory), run) });
      });
    for (const { method, place } of found)
      await tried(method.name, async () => {
        for (const seed of seeds.slice(1)) await trial(method, place, seed, run);
      });
  } finally {
    await executor.close();
  }
  return failed;
};
