/** Where a run stands. */
export interface Progress {
  /** Steps done. */
  readonly step: number;
  readonly steps: number;
  /** No number, perhaps, where the step was skipped. */
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
  /** Steps so far that were skipped, see `maxSkipped`. */
  readonly skipped: number;
  /** Over the last steps, evaluation apart. */
  readonly tokensPerSecond: number;
  /** Seconds until the end at this pace. */
  readonly eta: number;
  /** The newest held-out loss. */
  readonly heldOutLoss: number | null;
}

/** Where progress is written: `process.stderr`, as a rule. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** How progress is shown. */
export interface ProgressOptions {
  readonly stream?: ProgressStream;
  /** Shown in front. */
  readonly label?: string;
  /** Peak memory in bytes. Default: the process's largest resident set. */
  readonly peakBytes?: () => number;
  /** Lines of a whole run where the stream is no terminal. Default 10. */
  readonly lines?: number;
}

/** `1m 05s`, `42s`. */
export const formatSeconds = (seconds: number): string => {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole}s` : `${Math.floor(whole / 60)}m ${String(whole % 60).padStart(2, '0')}s`;
};

const residentPeak = (): number => process.resourceUsage().maxRSS * 1024;

const lineOf = (label: string, p: Progress, peakBytes: number): string => {
  const parts = [
    `${label}step ${String(p.step).padStart(String(p.steps).length)}/${p.steps}`,
    `loss ${p.loss.toFixed(3)}`,
    ...(p.skipped > 0 ? [`${p.skipped} skipped`] : []),
    ...(p.heldOutLoss === null ? [] : [`held out ${p.heldOutLoss.toFixed(3)}`]),
    `${Math.round(p.tokensPerSecond).toLocaleString('en-US')} tokens/s`,
    p.step < p.steps ? `${formatSeconds(p.eta)} left` : 'done',
    `peak ${(peakBytes / 2 ** 20).toFixed(0)} MiB`,
  ];
  return parts.join('  ');
};

/** Shows a run on a terminal as one line that is rewritten, elsewhere as a few plain lines. Pass it as `onStep`. */
export const progressLine = ({
  stream = process.stderr,
  label = '',
  peakBytes = residentPeak,
  lines = 10,
}: ProgressOptions = {}): ((p: Progress) => void) => {
  const front = label ? `${label}  ` : '';
  return (p) => {
    const last = p.step === p.steps;
    if (stream.isTTY) {
      const text = lineOf(front, p, peakBytes()).slice(0, Math.max(20, (stream.columns ?? 80) - 1));
      stream.write(`\r${text}\u001b[K${last ? '\n' : ''}`);
    } else if (last || p.step === 1 || p.step % Math.max(1, Math.round(p.steps / lines)) === 0) {
      stream.write(`${lineOf(front, p, peakBytes())}\n`);
    }
  };
};
