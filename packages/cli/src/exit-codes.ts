import { isPeftError, PeftError, type PeftErrorCode } from '@peftjs/tensor';

/** Codes that the command ends with; 130 and 143 are those of a run that Ctrl-C or the system has stopped. */
export const exitCodes = {
  done: 0,
  /** Something failed on the way; the message says what. */
  failed: 1,
  /** The command line, the configuration or a file that it names is not right; nothing was begun. */
  wrong: 2,
  /** A fault of ours, told with its trace. */
  bug: 70,
} as const;

/** Codes of errors that the user mends by writing something else. */
const asked: readonly PeftErrorCode[] = ['bad-option', 'bad-config', 'bad-data', 'file-missing'];

/** The code for an error. */
export const exitCodeOf = (error: unknown): number => {
  if (!isPeftError(error)) return exitCodes.bug;
  return asked.includes(error.code) ? exitCodes.wrong : exitCodes.failed;
};

/** A run that was stopped before its end, what is kept of it told. */
export class Stopped extends PeftError {
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super('bad-program', message);
    this.exitCode = exitCode;
  }
}
