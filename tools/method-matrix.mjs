// Which methods ran over which bases on which executors, told from the titles of the tests: a suite named
// `<method> on <architecture> over <format> on <executor>` is one cell; suites around it (variants of a method) count with it. One of a
// method that refuses the base ends in `is refused`.
const title = /^(\w+) on (\w+) over (\w+) (?:on (reference|cpu|webgpu)|(is refused))$/;

/** Cells in the order in which they were found: { method, architecture, format, executor, refused, passed, failed }; what was skipped counts as neither. */
export const matrixOf = ({ testResults }) => {
  const cells = new Map();
  for (const { assertionResults } of testResults)
    for (const { ancestorTitles, status } of assertionResults) {
      const suite = ancestorTitles.at(-1) ?? '';
      const found = title.exec(suite);
      if (!found) continue;
      const [, method, architecture, format, executor = 'reference', refused] = found;
      const cell = cells.get(suite) ?? {
        ...{ method, architecture, format, executor, refused: refused !== undefined },
        ...{ passed: 0, failed: 0 },
      };
      cells.set(suite, cell);
      if (status === 'passed') cell.passed += 1;
      if (status === 'failed') cell.failed += 1;
    }
  return [...cells.values()];
};

const distinct = (cells, key) => [...new Set(cells.map((cell) => cell[key]))];

/** ✓ all tests of it passed, ✗ some did not, – it is refused, · none ran. */
const mark = (cells) => {
  if (cells.some(({ failed }) => failed > 0)) return '✗';
  const ran = cells.filter(({ passed }) => passed > 0);
  if (ran.length > 0 && ran.every(({ refused }) => refused)) return '–';
  return ran.length > 0 ? '✓' : '·';
};

/** The matrix as text: one line per method, a group of marks per architecture and per format, one mark per executor; empty where no method ran. */
export const printedMatrix = (cells) => {
  if (cells.length === 0) return '';
  const methods = distinct(cells, 'method').sort((a, b) => a.localeCompare(b));
  const executors = distinct(cells, 'executor');
  const wide = Math.max(...methods.map((name) => name.length));
  const groups = ['architecture', 'format'].flatMap((axis) => distinct(cells, axis).map((name) => ({ axis, name })));
  const columns = groups.map(({ name }) => name.padEnd(executors.length));
  const marks = (method, { axis, name }) =>
    executors
      .map((executor) => mark(cells.filter((c) => c.method === method && c.executor === executor && c[axis] === name)))
      .join('');
  const line = (name, texts, last) =>
    `  ${[name.padEnd(wide), ...texts.map((text, i) => text.padEnd(columns[i].length)), last].join('  ')}`.trimEnd();
  const testsOf = (method) => cells.reduce((n, c) => n + (c.method === method ? c.passed + c.failed : 0), 0);
  return [
    `Methods by architecture and by format, each on ${executors.join(', ')} (✓ all laws tried hold, ✗ not all, – refused, · none tried):`,
    line('', columns, 'tests'),
    ...methods.map((method) =>
      line(
        method,
        groups.map((group) => marks(method, group)),
        String(testsOf(method)).padStart(5),
      ),
    ),
  ].join('\n');
};
