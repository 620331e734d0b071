import type { ProgressStream } from './progress.ts';

/** A signal of the system that asks a process to end: Ctrl-C in a terminal, or whoever runs it. */
export type StopSignal = 'SIGINT' | 'SIGTERM';

const exitCodes: Readonly<Record<StopSignal, number>> = { SIGINT: 130, SIGTERM: 143 };

/** Whether something is a list of such signals. */
export const isStopList = (value: unknown): boolean =>
  Array.isArray(value) && value.every((name) => Object.hasOwn(exitCodes, name as PropertyKey));

/** A watch for signals of the system. */
export interface StopWatch {
  /** The signal that has come, if one has. */
  caught(): StopSignal | null;
  /** Listens no more. */
  end(): void;
}

/** The words at a signal. A terminal has the progress of the run, perhaps, in a line that is not at its end. */
const wordsAt = (signal: StopSignal, keeps: boolean, isTerminal: boolean): string =>
  `${isTerminal ? '\n' : ''}${signal}: the run ends after this step${keeps ? ' and keeps its state' : ''}.\nA second one ends it at once.\n`;

/**
 * Listens for signals until the first, or the end. It says on the terminal that the run ends, on a line of its own, and sets the exit code; then it listens
 * no more, so that the next signal ends the process as it always does, also in the midst of a step.
 */
export const watchSignals = (signals: readonly StopSignal[], keeps: boolean, stream?: ProgressStream): StopWatch => {
  let caught: StopSignal | null = null;
  const end = (): void => {
    for (const signal of signals) process.off(signal, stop);
  };
  const stop = (signal: StopSignal): void => {
    end();
    caught = signal;
    process.exitCode = exitCodes[signal];
    // Asked for here: a page has no `process`.
    const out = stream ?? process.stderr;
    out.write(wordsAt(signal, keeps, out.isTTY ?? false));
  };
  for (const signal of signals) process.on(signal, stop);
  return { caught: () => caught, end };
};
