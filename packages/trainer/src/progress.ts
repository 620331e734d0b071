/** Where a run stands. */
export interface Progress {
  /** Steps done. */
  readonly step: number;
  readonly steps: number;
  /** No number, perhaps, where the step was skipped. */
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
  /** Means of what the objective reports beside the loss, by name: margins, accuracies. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Steps so far that were skipped, see `maxSkipped`. */
  readonly skipped: number;
  /** Over the last steps, evaluation apart. */
  readonly tokensPerSecond: number;
  /** Seconds until the end at this pace. */
  readonly eta: number;
  /** The newest held-out loss. */
  readonly heldOutLoss: number | null;
  /** Whether the run ends here: all steps are done, or somebody has asked for the end. */
  readonly isLast: boolean;
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

/** `████▌   `: a share of so many cells, in eighths. */
export const shareBar = (share: number, cells: number): string => {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * cells * 8);
  const rest = eighths % 8;
  const whole = '█'.repeat(Math.floor(eighths / 8));
  return `▕${`${whole}${rest > 0 ? String.fromCodePoint(0x2590 - rest) : ''}`.padEnd(cells)}▏`;
};

const residentPeak = (): number => process.resourceUsage().maxRSS * 1024;

/** Cells of a bar. */
const [leastCells, mostCells] = [6, 20];

const restOf = ({ step, steps, eta, isLast }: Progress): string => {
  if (step === steps) return 'done';
  return isLast ? 'stopped' : `${formatSeconds(eta)} left`;
};

/** The parts of a line, those first that are missed most where there is no room for all. */
const partsOf = (label: string, p: Progress, peakBytes: number): string[] => [
  `${label}step ${String(p.step).padStart(String(p.steps).length)}/${p.steps}`,
  `loss ${p.loss.toFixed(3)}`,
  ...Object.entries(p.metrics)
    .slice(0, 2)
    .map(([name, value]) => `${name} ${value.toFixed(3)}`),
  ...(p.skipped > 0 ? [`${p.skipped} skipped`] : []),
  ...(p.heldOutLoss === null ? [] : [`held out ${p.heldOutLoss.toFixed(3)}`]),
  restOf(p),
  `${Math.round(p.tokensPerSecond).toLocaleString('en-US')} tokens/s`,
  `peak ${Math.round(peakBytes / 2 ** 20).toLocaleString('en-US')} MiB`,
];

/** As many whole parts as fit into so many columns; the first in any case. */
const lineOf = ([first = '', ...others]: readonly string[], columns: number): string => {
  let line = first.slice(0, columns);
  for (const part of others) {
    if (line.length + 2 + part.length > columns) break;
    line += `  ${part}`;
  }
  return line;
};

/**
 * Shows a run on a terminal as one line that is rewritten, elsewhere as a few plain lines. A narrow terminal shows fewer of its parts, each whole.
 * Pass it as `onStep`.
 */
export const progressLine = ({
  stream = process.stderr,
  label = '',
  peakBytes = residentPeak,
  lines = 10,
}: ProgressOptions = {}): ((p: Progress) => void) => {
  const front = label ? `${label}  ` : '';
  return (p) => {
    if (stream.isTTY) {
      // A line as long as the terminal is wide would break.
      const columns = Math.max(20, (stream.columns ?? 80) - 1);
      const parts = partsOf(front, p, peakBytes());
      const [step, ...others] = parts;
      const room = Math.min(mostCells, columns - parts.join('  ').length - 4);
      // A bar where all of the rest has room beside it.
      const all = room < leastCells ? parts : [step!, shareBar(p.step / p.steps, room), ...others];
      const text = lineOf(all, columns);
      stream.write(`\r${text}\u001b[K${p.isLast ? '\n' : ''}`);
    } else if (p.isLast || p.step === 1 || p.step % Math.max(1, Math.round(p.steps / lines)) === 0) {
      stream.write(`${partsOf(front, p, peakBytes()).join('  ')}\n`);
    }
  };
};
