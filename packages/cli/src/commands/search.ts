import { copyFile, cp } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { halving, search } from '@peftjs/hybrid';
import { writeFileAtomic } from '@peftjs/io';
import { type Executor, PeftError } from '@peftjs/tensor';
import type { Call } from '../commands.ts';
import { parseOverrides } from '../config/overrides.ts';
import { readRunConfig } from '../config/read.ts';
import type { RunConfig } from '../config/schema.ts';
import { type Context, count, result } from '../context.ts';
import { openDevice } from '../device.ts';
import { numberIn } from '../sampling.ts';
import { halvingFigure, searchPage } from '../search/figure.ts';
import { type KeptTrial, keepTrial, openSearch, type Setup, searchFiles } from '../search/kept.ts';
import {
  type Choices,
  checkChoices,
  effortsOf,
  nameOf,
  type Point,
  rankOf,
  runConfigOf,
  valuesOf,
} from '../search/plan.ts';
import { runWhole, tryOut } from '../search/trial.ts';
import { status } from '../status.ts';
import { aligned } from '../terminal.ts';
import { type Ground, openGround, stepsOf } from '../train/prepared.ts';
import { runFiles, settled } from '../train/run-folder.ts';

type Options = Call['options'];

const listIn = (options: Options, name: string, fallback: string): readonly string[] =>
  String(options[name] ?? fallback)
    .split(',')
    .map((one) => one.trim())
    .filter(Boolean);

const choicesIn = (options: Options): Choices => {
  const choices = {
    methods: listIn(options, 'methods', 'lora,dora,ia3'),
    rates: listIn(options, 'rates', '0.3,1,3').map(Number),
    ranks: listIn(options, 'ranks', '4,16').map(Number),
  };
  checkChoices(choices);
  return choices;
};

/** Trials as lines of a table, those with the most steps first, of them the best. */
const linesOf = (trials: readonly KeptTrial[], rateOf: (point: Point) => number): readonly (readonly string[])[] => [
  ['candidate', 'loss', 'steps', 'rank', 'rate', 'trained'],
  ...trials
    .toSorted((a, b) => b.point.steps - a.point.steps || (a.loss ?? Infinity) - (b.loss ?? Infinity))
    .map(({ point, loss, parameters }) => [
      nameOf(point),
      loss === null ? 'diverged' : loss.toFixed(4),
      String(point.steps),
      rankOf(point),
      String(rateOf(point)),
      parameters > 1 ? count(parameters) : '',
    ]),
];

/** The figure and the page of what has been tried. */
const draw = async (
  dir: string,
  trials: readonly KeptTrial[],
  lines: readonly (readonly string[])[],
  about: string,
) => {
  const names = [...new Set(trials.map(({ point }) => nameOf(point)))];
  const byName = names.map((name) => [name, trials.filter(({ point }) => nameOf(point) === name)] as const);
  const figure = halvingFigure(
    byName
      .map(([label, own]) => ({
        label,
        group: own[0]!.point.method,
        points: own.flatMap(({ point: { steps }, loss }) => (loss === null ? [] : [{ steps, loss }])),
      }))
      .filter(({ points }) => points.length > 0),
  );
  const files = searchFiles(dir);
  await writeFileAtomic(files.figure, figure);
  await writeFileAtomic(files.page, searchPage(about, figure, lines));
};

/** How a search is made. */
interface Searched {
  readonly dir: string;
  readonly setup: Setup;
  readonly ground: Ground;
  readonly executor: Executor;
  readonly context: Context;
}

const searched = async ({ dir, setup, ground, executor, context }: Searched): Promise<readonly KeptTrial[]> => {
  const { config, choices, efforts, factor, candidates } = setup;
  const past = await openSearch(dir, setup);
  if (past.length > 0) status(context, `Goes on after ${count(past.length)} trials.`);
  const last = efforts.at(-1)!;
  const space = { method: choices.methods, rank: choices.ranks, rate: choices.rates, steps: efforts };
  const { trials } = await search({
    space,
    past: past as never,
    budget: 1_000_000,
    seed: config.seed,
    parameters: valuesOf(choices.ranks, config, ground) as never,
    strategy: halving({ effort: 'steps', factor, ...(candidates !== null && { candidates }) }),
    objective: (given) => {
      const point = given as Point;
      const run = runConfigOf(point, config, ground);
      return point.steps === last
        ? runWhole(run, join(searchFiles(dir).runs, nameOf(point)), { ground, executor }, context)
        : tryOut(run, ground, executor, context);
    },
    onTrial: async (given, number) => {
      const trial = given as unknown as KeptTrial;
      await keepTrial(dir, trial);
      const { point, loss } = trial;
      status(context, `Trial ${number}: ${nameOf(point)}, ${point.steps} steps: ${loss?.toFixed(4) ?? 'diverged'}`);
    },
  });
  return trials as unknown as readonly KeptTrial[];
};

/**
 * `peftjs search`: looks for the best of methods, learning rates and ranks by successive halving of their held-out losses. The last of them are ordinary runs; the best
 * one's adapter and YAML are the search's. Called again it goes on. Throws `bad-option`, `bad-config`, and what a run throws.
 */
export const run = async ({ args, options, context }: Call): Promise<void> => {
  const { overrides, rest } = parseOverrides(args);
  if (rest.length > 1) throw new PeftError('bad-option', `search: takes one file, got ${rest.join(', ')}`);
  const asked = await readRunConfig(rest[0], overrides);
  const choices = choicesIn(options);
  const [factor, rungs] = [numberIn(options, 'factor', true) ?? 3, numberIn(options, 'rungs', true) ?? 3];
  if (factor < 2) throw new PeftError('bad-option', `search: --factor is ${factor}, and must be at least 2`);
  if (rungs < 1 || rungs > 20) throw new PeftError('bad-option', `search: --rungs is ${rungs}; 1 to 20 are possible`);
  const dir = resolve(String(options['folder'] ?? 'search'));
  status(context, `Model: ${asked.model ?? 'the small one that is shipped'}`);
  const executor = await openDevice(asked.device, { threads: asked.threads });
  try {
    const ground = await openGround(asked, executor, context);
    if (!ground.examples.heldOut)
      throw new PeftError('bad-config', 'search compares held-out losses, and nothing is held out; give data.heldOut');
    const steps = stepsOf(asked, ground.examples.survey.examples);
    const config: RunConfig = settled({ ...asked, task: ground.lesson.kept, out: searchFiles(dir).runs }, steps);
    const efforts = effortsOf(steps, factor, rungs);
    const candidates = numberIn(options, 'candidates', true) ?? null;
    const setup = { config, choices, efforts, factor, candidates };
    const trials = await searched({ dir, setup, ground, executor, context });
    const rateOf = (point: Point): number => runConfigOf(point, config, ground).optimizer.rate!;
    const lines = linesOf(trials, rateOf);
    const about = `${trials.length} trials of ${new Set(trials.map(({ point }) => nameOf(point))).size} candidates, ${efforts.join(', ')} steps; of each rung one in ${factor} goes on.`;
    await draw(dir, trials, lines, about);
    const whole = trials.filter(({ point, loss }) => point.steps === efforts.at(-1) && loss !== null);
    const best = whole.toSorted((a, b) => a.loss! - b.loss!)[0];
    if (!best) throw new PeftError('diverged', 'search: no candidate came to a finite loss; give lower rates');
    const files = searchFiles(dir);
    const winner = runFiles(join(files.runs, nameOf(best.point)));
    await cp(winner.adapter, files.adapter, { recursive: true });
    await copyFile(winner.config, files.config);
    const told = [
      aligned(lines, context.out.columns),
      '',
      `Best: ${nameOf(best.point)}, held-out loss ${best.loss!.toFixed(4)}`,
      `Adapter: ${files.adapter}`,
      `Run:     ${files.config}`,
      `Page:    ${files.page}`,
    ];
    result(
      context,
      { folder: dir, best, adapter: files.adapter, config: files.config, page: files.page, trials },
      told.join('\n'),
    );
  } finally {
    await executor.close();
  }
};
