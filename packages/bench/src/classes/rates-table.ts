import { markdown } from '../report/markdown.ts';
import type { Contender } from './class-task.ts';
import type { Run } from './runs.ts';

/** The rates that were tried, each with its loss on the examples withheld; the lowest is bold. */
export const ratesTable = (contenders: readonly Contender[], runs: readonly Run[]): string => {
  const rows = contenders.flatMap(({ name }) => {
    const own = runs.filter(({ method, on }) => method === name && on === 'validation');
    const lossOf = ({ loss }: Run): number => loss ?? Number.POSITIVE_INFINITY;
    const best = Math.min(...own.map(lossOf));
    const told = [...own]
      .sort((a, b) => a.learningRate - b.learningRate)
      .map((run) => {
        const text = `${run.learningRate}: ${run.loss === null ? 'diverged' : run.loss.toFixed(3)}`;
        return lossOf(run) === best ? `**${text}**` : text;
      });
    return own.length > 0 ? [[`\`${name}\``, told.join(' · ')]] : [];
  });
  return markdown([['method', 'rate: loss'], ...rows]);
};
