import { agrees, referenceOf, type Values } from '../agreement.ts';
import type { Prepared } from '../data/prepare.ts';
import { median, spread } from '../stats.ts';
import { type Task, type Unit, unitOf } from '../tasks/task.ts';
import type { EnergyMeter } from './energy.ts';
import type { Done } from './protocol.ts';
import { type Command, openSession, type Session } from './session.ts';

/** One stack's figures for one task. */
export interface Row {
  readonly task: string;
  readonly stack: string;
  readonly unit: Unit;
  /** Median over the rounds, in `unit`; null where it failed. */
  readonly rate: number | null;
  /** Median distance from it, as a share. */
  readonly spread: number | null;
  /** Of each round, in the order in which the stacks took turns. */
  readonly rounds: readonly number[];
  readonly peakBytes: number | null;
  readonly startMs: number | null;
  /** From the start of the process until the first run was done: the time to the first step. */
  readonly firstMs?: number;
  /** Joules that the processor's packages took for one run, all that the machine did meanwhile included; where it tells. */
  readonly joules?: number;
  /** Of the warm-up: losses of the first 5 steps, tokens, or mean squares. */
  readonly values: Values;
  /** Whether they are those of the reference; false marks the row as wrong. */
  readonly agrees: boolean;
  readonly device: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly memory?: Readonly<Record<string, number>>;
  /** Why there are no figures. */
  readonly failure?: string;
}

/** How a measurement is made. */
export interface MeasureOptions {
  readonly rounds: number;
  /** A turn lasts until this has passed, at least one run. */
  readonly secondsPerRound: number;
  /** A stack that has run for so long takes no more turns. If its warm-up did, that one's last run is its only turn. */
  readonly budgetSeconds: number;
  /** A child that does not answer for so long is ended. */
  readonly limitSeconds: number;
  /** Runs before the first turn, whose values are compared; they warm up caches and autotuning too. */
  readonly warmUps: number;
  /** No further one begins after this. */
  readonly warmUpSeconds: number;
  /** Warm-ups that there are all the same: the second loss tells of the first update. */
  readonly leastWarmUps: number;
  /** Joules that the processor has taken since some moment; where the machine tells. */
  readonly energy?: EnergyMeter;
  /** The first results that are right. Default: those of PyTorch, or the middle of all. */
  readonly reference?: Values;
  progress(text: string): void;
}

/** A stack to be measured. */
export interface Contender {
  readonly name: string;
  readonly command: Command;
  /** Whether it multiplies in fewer bits than the reference. Default false. */
  readonly rounds?: boolean;
}

interface Running extends Contender {
  /** Of the first run. */
  readonly firstRunMs: number | null;
  /** Of all turns, and how many runs they were for. */
  energy: { joules: number; runs: number };
  readonly session: Session | null;
  readonly values: Values;
  readonly rates: number[];
  last: Done | null;
  /** Of all turns. */
  seconds: number;
  failure: string | null;
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const secondsOf = ({ ms }: Done): number => ms.reduce((a, b) => a + b, 0) / 1000;

/** In the unit of the rate. */
const rateOf = (work: number, unit: Unit, runs: number, seconds: number): number =>
  (work * runs) / seconds / (unit === 'GFLOP/s' ? 1e9 : 1);

const warmUp = async (session: Session, task: Task, options: MeasureOptions): Promise<Done> => {
  const times = task.kind === 'generate' ? Math.min(2, options.warmUps) : options.warmUps;
  const first = await session.run(Math.min(times, options.leastWarmUps), options.limitSeconds);
  const left = options.warmUpSeconds - secondsOf(first);
  if (first.ms.length >= times || left <= 0) return first;
  const more = await session.run(times - first.ms.length, left);
  return { ...more, ms: [...first.ms, ...more.ms], values: [...first.values, ...more.values] };
};

const noEnergy = (): Running['energy'] => ({ joules: 0, runs: 0 });

const start = async (contender: Contender, { task, work }: Prepared, options: MeasureOptions): Promise<Running> => {
  options.progress(`${task.name}: ${contender.name} warms up`);
  const nothing = { values: [], rates: [], last: null, firstRunMs: null, energy: noEnergy(), seconds: 0 };
  let session: Session | null = null;
  try {
    session = await openSession(contender.command, options.limitSeconds * 1000);
    const last = await warmUp(session, task, options);
    // Every product and continuation is the first one again.
    const values = task.kind === 'step' ? last.values.flat() : last.values[0]!;
    const isSlow = secondsOf(last) >= options.budgetSeconds;
    const firstRunMs = last.ms[0]!;
    const rates = isSlow ? [rateOf(work, unitOf(task), 1, last.ms.at(-1)! / 1000)] : [];
    const seconds = isSlow ? secondsOf(last) : 0;
    return { ...contender, session, values, rates, last, firstRunMs, seconds, energy: noEnergy(), failure: null };
  } catch (error) {
    await session?.close();
    return { ...contender, ...nothing, session: null, failure: reasonOf(error) };
  }
};

const takeTurn = async (running: Running, work: number, unit: Unit, options: MeasureOptions): Promise<void> => {
  if (!running.session || running.failure || running.seconds >= options.budgetSeconds) return;
  try {
    const before = options.energy?.();
    const done = await running.session.run(1e9, options.secondsPerRound);
    if (before !== undefined && options.energy) {
      running.energy.joules += options.energy() - before;
      running.energy.runs += done.ms.length;
    }
    const seconds = secondsOf(done);
    running.seconds += seconds;
    running.rates.push(rateOf(work, unit, done.ms.length, seconds));
    running.last = done;
  } catch (error) {
    running.failure = reasonOf(error);
  }
};

const rowOf = (running: Running, { task }: Prepared, reference: Values): Row => {
  const { name, session, rates, last, values, firstRunMs, energy, failure } = running;
  return {
    task: task.name,
    stack: name,
    unit: unitOf(task),
    rate: rates.length > 0 ? median(rates) : null,
    spread: rates.length > 0 ? spread(rates) : null,
    rounds: rates,
    peakBytes: last?.peakBytes ?? null,
    startMs: session?.startMs ?? null,
    values,
    agrees: agrees(task, values, reference, running.rounds),
    device: session?.ready.device ?? '',
    versions: session?.ready.versions ?? {},
    ...(session && firstRunMs !== null && { firstMs: session.startMs + firstRunMs }),
    ...(energy.runs > 0 && { joules: energy.joules / energy.runs }),
    ...(last?.memory && { memory: last.memory }),
    ...(failure !== null && { failure }),
  };
};

/**
 * Measures a task on several stacks, each in a process of its own. They warm up one after the other; then they take turns, so that what
 * else the machine does meets all alike; a slow one ends early. A stack that fails is a row that says why.
 */
export const measure = async (
  prepared: Prepared,
  contenders: readonly Contender[],
  options: MeasureOptions,
): Promise<Row[]> => {
  const { task, work } = prepared;
  const all: Running[] = [];
  try {
    for (const contender of contenders) all.push(await start(contender, prepared, options));
    for (let round = 1; round <= options.rounds; round++) {
      options.progress(`${task.name}: round ${round} of ${options.rounds}`);
      for (const running of all) await takeTurn(running, work, unitOf(task), options);
    }
  } finally {
    await Promise.all(all.map(({ session }) => session?.close()));
  }
  const reference =
    options.reference ?? referenceOf(new Map(all.filter((r) => r.values.length > 0).map((r) => [r.name, r.values])));
  return all.map((running) => rowOf(running, prepared, reference));
};
