// Which methods ran over which bases on which executors, told from the titles of the tests: a suite named
// `<method> on <architecture> over <format> on <executor>` is one cell; suites around it (variants of a method) count with it.
const title = /^(\w+) on (\w+) over (\w+) on (reference|cpu|webgpu)$/;

/** Cells in the order in which they were found: { method, architecture, format, executor, passed, failed }; what was skipped counts as neither. */
export const matrixOf = ({ testResults }) => {
  const cells = new Map();
  for (const { assertionResults } of testResults)
    for (const { ancestorTitles, status } of assertionResults) {
      const suite = ancestorTitles.at(-1) ?? '';
      const found = title.exec(suite);
      if (!found) continue;
      const [, method, architecture, format, executor] = found;
      const cell = cells.get(suite) ?? { method, architecture, format, executor, passed: 0, failed: 0 };
      cells.set(suite, cell);
      if (status === 'passed') cell.passed += 1;
      if (status === 'failed') cell.failed += 1;
    }
  return [...cells.values()];
};

const distinct = (cells, key) => [...new Set(cells.map((cell) => cell[key]))];

/** ✓ all tests of it passed, ✗ some did not, · none ran. */
const mark = (cells) => {
  if (cells.some(({ failed }) => failed > 0)) return '✗';
  return cells.some(({ passed }) => passed > 0) ? '✓' : '·';
};

/** The matrix as text: one line per method, a group of marks per base, one mark per executor; empty where no method ran. */
export const printedMatrix = (cells) => {
  if (cells.length === 0) return '';
  const methods = distinct(cells, 'method').sort((a, b) => a.localeCompare(b));
  const formats = distinct(cells, 'format');
  const architectures = distinct(cells, 'architecture');
  const executors = distinct(cells, 'executor');
  const wide = Math.max(...methods.map((name) => name.length));
  const bases = formats.flatMap((format) => architectures.map((architecture) => ({ format, architecture })));
  const columns = bases.map(({ format, architecture }) => `${architecture} ${format}`);
  const marks = (method, base) =>
    executors
      .map((executor) =>
        mark(
          cells.filter(
            (c) =>
              c.method === method &&
              c.executor === executor &&
              c.format === base.format &&
              c.architecture === base.architecture,
          ),
        ),
      )
      .join('');
  const line = (name, texts, last) =>
    `  ${[name.padEnd(wide), ...texts.map((text, i) => text.padEnd(columns[i].length)), last].join('  ')}`.trimEnd();
  const testsOf = (method) => cells.reduce((n, c) => n + (c.method === method ? c.passed + c.failed : 0), 0);
  return [
    `Methods by base, each on ${executors.join(', ')} (✓ all laws hold, ✗ not all, · not run):`,
    line('', columns, 'tests'),
    ...methods.map((method) =>
      line(
        method,
        bases.map((base) => marks(method, base)),
        String(testsOf(method)).padStart(5),
      ),
    ),
  ].join('\n');
};
