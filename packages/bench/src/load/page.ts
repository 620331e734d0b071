import { markdown } from '../report/markdown.ts';
import { line } from '../stats.ts';
import { loadFigure } from './figure.ts';
import type { Load } from './load.ts';

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
const count = (n: number): string => n.toLocaleString('en');

/** How memory grows, in MiB a minute, after the first fifth, in which everything is used for the first time. */
export const growthOf = (moments: Load['moments']): number => {
  const late = moments.filter(({ seconds }) => seconds >= moments.at(-1)!.seconds / 5);
  return line(late.map(({ seconds, residentBytes }) => [seconds / 60, residentBytes / 2 ** 20])).slope;
};

/** The page of a load, and its figure. */
export const loadPage = (load: Load): { readonly page: string; readonly figure: string } => {
  const { machine, clients, adapters, rows, minutes, one, moments, killed, waits, counted, errors } = load;
  const seconds = moments.at(-1)!.seconds;
  const rate = load.tokens / seconds;
  const failed = Object.values(errors).reduce((a, b) => a + b, 0);
  const told = Object.entries(errors).map(([said, times]) => `${times} × ${said}`);
  const { prompt = 0, known = 0 } = counted;
  const rowsOf: readonly (readonly [string, string])[] = [
    ['answers', `${count(load.answers)} in ${(seconds / 60).toFixed(1)} minutes, ${count(load.tokens)} new tokens`],
    ['errors', failed === 0 ? 'none' : told.join('; ')],
    ['answers other than alone', load.unlike === 0 ? 'none' : `${count(load.unlike)} of ${count(load.answers)}`],
    [
      'new tokens a second',
      `${rate.toFixed(0)}; one client alone ${one.tokensPerSecond.toFixed(0)}, so ${(rate / one.tokensPerSecond).toFixed(2)} times as many`,
    ],
    ['time to a whole answer', `half within ${waits.median.toFixed(1)} s, 19 of 20 within ${waits.most.toFixed(1)} s`],
    [
      'memory of the server',
      `${mib(moments[0]!.residentBytes)} MiB when the clients began, ${mib(moments.at(-1)!.residentBytes)} at the end; ${growthOf(moments).toFixed(2)} MiB a minute after the first fifth`,
    ],
    ['prompt tokens known from an earlier text', `${count(known)} of ${count(prompt)}`],
    [
      '`kill -9` with all clients waiting',
      `files of the adapters ${killed.filesWhole ? 'as before' : 'CHANGED'}, processes left behind: ${killed.left}; started again after ${killed.startSeconds.toFixed(1)} s, ${killed.same} of ${killed.asked} answers as before`,
    ],
    ['SIGTERM at the end', `exit code ${load.stoppedWith}`],
  ];
  const page = `<!-- Made by \`pnpm bench --task serve\`. -->

# A server under load

\`peftjs serve\` with ${adapters} LoRA adapters of rank 8 over the shipped model (3 million weights, drawn values, a context of 256 tokens) and ${rows} rows, asked by ${clients} clients for
${minutes} minutes: each asks one thing after the other, greedy, 8 to 40 new tokens, of adapters in turn. Before, each request was made alone, which gives the answers that are compared and the
speed of one client. [The running batch](decisions/0061-running-batches.md) tells how it works.

![Tokens a second of all clients beside one, and memory over time](serving-load.svg)

${markdown([['', ''], ...rowsOf.map((row) => [...row])])}

Measured ${load.date}, ${machine.processor}, ${machine.cores} cores, ${machine.system}, Node ${machine.node}; clients and server share them. ${
    load.othersBusy > 1
      ? `**The machine was busy**: ${load.othersBusy.toFixed(1)} other processes wanted a core when it began. Speeds and times are therefore too low and too long, those of one client and of many at unlike moments; errors, answers and memory do not depend on it.`
      : 'Nothing else ran.'
  }
Requests wait for one of ${rows} rows, so with ${clients} clients most of the time to an answer is waiting.
`;
  return { page, figure: loadFigure(load) };
};
