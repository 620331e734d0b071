import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { StepSizes } from './transformer-step.ts';

/**
 * Times a training step on the cpu executor, each round in a process of its own; with `--against FILE` another script in turns with it,
 * which takes the sizes [hidden,layers,heads,inner,vocabulary,batch,tokens,rank] and the threads, and prints `tok_s`, `session_ms`, `best_ms`.
 *
 *     node --conditions=@peftjs/source --import tsx bench/lora-step.ts --rounds 5 --against ../sketch.mjs
 */
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    steps: { type: 'string', default: '15' },
    threads: { type: 'string', default: '2' },
    against: { type: 'string' },
    full: { type: 'boolean', default: false },
    sizes: { type: 'string', default: '256,4,8,688,4096,4,128,8' },
  },
});

const [hidden, layers, heads, inner, vocabulary, batch, tokens, rank] = values.sizes.split(',').map(Number) as [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];
const sizes: StepSizes = { hidden, layers, heads, inner, vocabulary, batch, tokens, rank };

interface Measurement {
  readonly tokensPerSecond: number;
  readonly bestMs: number;
  readonly compileMs: number;
  readonly peakMB: number;
}

/** Makes a process print the most memory that it had. */
const memoryHook = `data:text/javascript,process.on('exit',()=>console.log('peak_MB: '+Math.round(process.resourceUsage().maxRSS/1e3)))`;

const runScript = (args: readonly string[]): string => {
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${args.join(' ')} failed: ${stderr}`);
  return stdout;
};

const numberOf = (text: string, key: string): number => Number(new RegExp(`"?${key}"?: ?([\\d.]+)`).exec(text)?.[1]);

const ours = (): Measurement => {
  const script = fileURLToPath(new URL('one-step.ts', import.meta.url));
  const kind = values.full ? 'full' : 'lora';
  const flags = ['--conditions=@peftjs/source', '--import', 'tsx', '--import', memoryHook];
  const text = runScript([...flags, script, JSON.stringify(sizes), kind, values.threads, values.steps]);
  return {
    tokensPerSecond: numberOf(text, 'tokensPerSecond'),
    bestMs: numberOf(text, 'bestMs'),
    compileMs: numberOf(text, 'compileMs'),
    peakMB: numberOf(text, 'peak_MB'),
  };
};

const theirs = (script: string): Measurement => {
  const text = runScript(['--import', memoryHook, script, values.sizes, values.threads]);
  return {
    tokensPerSecond: numberOf(text, 'tok_s'),
    bestMs: numberOf(text, 'best_ms'),
    compileMs: numberOf(text, 'build_ms') + numberOf(text, 'session_ms'),
    peakMB: numberOf(text, 'peak_MB'),
  };
};

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

const summary = (rounds: readonly Measurement[]): Measurement => ({
  tokensPerSecond: median(rounds.map((r) => r.tokensPerSecond)),
  bestMs: Math.min(...rounds.map((r) => r.bestMs)),
  compileMs: median(rounds.map((r) => r.compileMs)),
  peakMB: median(rounds.map((r) => r.peakMB)),
});

const rounds = Array.from({ length: Number(values.rounds) }, (_, i) => {
  const round = { ours: ours(), ...(values.against && { theirs: theirs(values.against) }) };
  console.error(`round ${i + 1}: ${JSON.stringify(round)}`);
  return round;
});
const table: Record<string, Measurement> = { 'this package': summary(rounds.map((r) => r.ours)) };
if (values.against) table[values.against] = summary(rounds.map((r) => r.theirs!));
console.table(table);
if (values.against)
  console.log(
    `times as fast, median of the rounds: ${median(rounds.map((r) => r.ours.tokensPerSecond / r.theirs!.tokensPerSecond)).toFixed(2)}`,
  );
