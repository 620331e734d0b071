// What ran on which executor, told from the titles of the tests: a suite named `<subject> on <executor>` counts for that executor.
const executors = ['reference', 'cpu', 'webgpu'];
const title = new RegExp(`^(.*?),? on (${executors.join('|')})$`);

/** One line per executor: how many subjects it ran, and how many of their tests passed. */
export const coverage = ({ testResults }) => {
  const rows = new Map(executors.map((name) => [name, { subjects: new Set(), passed: 0, all: 0 }]));
  for (const { assertionResults } of testResults) {
    for (const { ancestorTitles, status } of assertionResults) {
      const found = title.exec(ancestorTitles[0] ?? '');
      if (!found) continue;
      const row = rows.get(found[2]);
      row.subjects.add(found[1]);
      row.all += 1;
      row.passed += status === 'passed' ? 1 : 0;
    }
  }
  const line = (name, { subjects, passed, all }) =>
    `  ${name.padEnd(9)} ${String(subjects.size).padStart(4)} subjects (ops, gradients, models, methods), ${String(passed).padStart(5)} of ${all} tests passed`;
  return ['Coverage of the executors:', ...[...rows].map(([name, row]) => line(name, row))].join('\n');
};
