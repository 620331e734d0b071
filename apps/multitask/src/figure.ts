import { groupsOf, mean, type TrialGroup } from './groups.ts';
import type { Trial } from './trial.ts';

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** Bars of the mean loss of the tasks, and of the left-out task, in SVG; whiskers show the least and the most of the runs. */
export const figureOf = (trials: readonly Trial[], tasks: readonly string[], leftOut: string): string => {
  const groups = groupsOf(trials);
  const [left, bar, gap, width, top] = [210, 12, 12, 640, 34];
  const series = [
    {
      name: 'mean of the tasks',
      colour: '#3f6bdd',
      of: ({ tasks: own }: Trial) => tasks.map((task) => own[task]?.loss),
    },
    { name: `${leftOut}, after few examples`, colour: '#d9822b', of: ({ transfer }: Trial) => [transfer.loss] },
  ];
  const valuesOf = (group: TrialGroup, of: (trial: Trial) => readonly (number | undefined)[]): number[] =>
    group.trials.flatMap((trial) => {
      const known = of(trial).filter((v) => v !== undefined);
      return known.length > 0 ? [mean(known)] : [];
    });
  const most = Math.max(...groups.flatMap((group) => series.flatMap(({ of }) => valuesOf(group, of))));
  const x = (v: number): number => left + ((width - left - 60) * v) / most;
  const bodies = groups.map((group, i) => {
    const y = top + i * (2 * bar + gap);
    const bars = series.map(({ colour, of }, j) => {
      const values = valuesOf(group, of);
      if (values.length === 0) return '';
      const at = y + j * bar;
      const middle = at + bar / 2;
      return `<rect x="${left}" y="${at}" width="${(x(mean(values)) - left).toFixed(1)}" height="${bar - 2}" fill="${colour}"/><path d="M${x(Math.min(...values)).toFixed(1)} ${middle}H${x(Math.max(...values)).toFixed(1)}" stroke="#222"/><text x="${(x(Math.max(...values)) + 6).toFixed(1)}" y="${middle + 3}">${mean(values).toFixed(2)}</text>`;
    });
    return `<text x="${left - 8}" y="${y + bar + 3}" text-anchor="end">${escape(group.method)}</text>${bars.join('')}`;
  });
  const legend = series.map(
    ({ name, colour }, j) =>
      `<rect x="${left + j * 190}" y="10" width="10" height="10" fill="${colour}"/><text x="${left + j * 190 + 16}" y="19">${escape(name)}</text>`,
  );
  const height = top + groups.length * (2 * bar + gap) + 8;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="11" fill="#222"><title>Loss of the answers in nats, lower is better</title><rect width="100%" height="100%" fill="#fff"/>${legend.join('')}${bodies.join('\n')}</svg>\n`;
};
