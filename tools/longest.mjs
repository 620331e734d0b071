import { relative } from 'node:path';

/** The files that took longest, with their seconds and when each began and ended: where the time of a whole run goes. */
export const longest = ({ testResults, startTime }, root) => {
  const seconds = (from, to) => ((to - from) / 1000).toFixed(0).padStart(5);
  const rows = testResults
    .toSorted((a, b) => b.endTime - b.startTime - (a.endTime - a.startTime))
    .slice(0, 12)
    .map(({ name, startTime: from, endTime: to }) => {
      const times = [seconds(from, to), seconds(startTime, from), seconds(startTime, to)].join(' ');
      return `  ${times}  ${relative(root, name)}`;
    });
  return ['The longest test files (seconds taken, begun at, ended at):', ...rows].join('\n');
};
