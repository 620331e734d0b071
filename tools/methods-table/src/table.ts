import type { MethodFormat } from '@peftjs/core';
import type { MatrixCell } from '../../method-matrix.mjs';

/** A method as the tables show it. */
export type Entry = Pick<
  MethodFormat,
  'name' | 'about' | 'peftType' | 'paper' | 'merges' | 'learningRate' | 'narrowRate'
> & {
  readonly family: string;
  /** Names of its options. */
  readonly options: readonly string[];
};

const executors = ['reference', 'cpu', 'webgpu'];

/** Those of `values` whose cells all passed, and there is one. */
const passed = (
  cells: readonly MatrixCell[],
  key: 'architecture' | 'executor' | 'format',
  values: readonly string[],
): string[] =>
  values.filter((value) => {
    const own = cells.filter((cell) => cell[key] === value);
    return own.length > 0 && own.every((cell) => cell.failed === 0 && cell.passed > 0);
  });

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

/**
 * The table of methods in Markdown: from what the records say, the matrix of what the tests passed, and the libraries that goldens were made
 * with. Throws where a method ran no test, as a table would then claim nothing of it.
 */
export const methodsTable = (
  entries: readonly Entry[],
  matrix: readonly MatrixCell[],
  goldens: ReadonlyMap<string, ReadonlySet<string>>,
): string => {
  const untested = entries.filter(({ name }) => !matrix.some((cell) => cell.method === name)).map(({ name }) => name);
  if (untested.length > 0) throw new Error(`no law of ${untested.join(', ')} ran; add a row to its family's laws`);
  // In an order of their own: test files end in any.
  const formats = [...new Set(matrix.map((cell) => cell.format))].filter((format) => format !== 'dense').sort();
  const architectures = [...new Set(matrix.map((cell) => cell.architecture))].sort();
  const rows = entries.map(({ name, family, paper, merges }) => {
    const cells = matrix.filter((cell) => cell.method === name && !cell.refused);
    return row([
      `[\`${name}\`](packages/${family})`,
      `[${paper.authors}, ${paper.year}](${paper.url})`,
      merges ? 'yes' : '–',
      passed(cells, 'architecture', architectures).join(', ') || '–',
      passed(cells, 'format', formats).join(', ') || '–',
      passed(cells, 'executor', executors).join(', ') || '–',
      [...(goldens.get(name) ?? [])].sort().join(', ') || '–',
    ]);
  });
  const head = ['method', 'paper', 'merges', 'models', 'quantised bases', 'executors', 'golden of'];
  return [row(head), row(head.map(() => '---')), ...rows].join('\n');
};

/** The methods by family, each with its paper, for who looks at the project for the first time. */
export const familyLists = (entries: readonly Entry[], titles: Readonly<Record<string, string>>): string => {
  const rows = Object.entries(titles).map(([family, title]) => {
    const own = entries.filter((entry) => entry.family === family);
    const names = own.map(({ name, paper: { url } }) => `[\`${name}\`](${url})`);
    return row([`[${title}](packages/${family})`, String(own.length), names.join(', ')]);
  });
  return [row(['family', 'number', 'methods']), row(['---', '--:', '---']), ...rows].join('\n');
};

/** What else is known of the methods, for the page about them. */
export const detailsTable = (entries: readonly Entry[]): string => {
  const head = ['method', 'trains', 'title', 'type in the file', 'learning rate', 'options'];
  const rows = entries.map(({ name, about, family, paper, peftType, learningRate, narrowRate, options }) =>
    row([
      `[\`${name}\`](../packages/${family})`,
      about,
      paper.title,
      `\`${peftType}\``,
      narrowRate === undefined ? String(learningRate) : `${learningRate}; narrow ${narrowRate}`,
      options.map((option) => `\`${option}\``).join(', ') || '–',
    ]),
  );
  return [row(head), row(head.map(() => '---')), ...rows].join('\n');
};

const marks = ['<!-- methods: pnpm methods -->', '<!-- end of methods -->'] as const;

/** A text with the table between its marks. Throws where it has none. */
export const withTable = (text: string, table: string): string => {
  const [from, to] = marks.map((mark) => text.indexOf(mark)) as [number, number];
  if (from < 0 || to < from) throw new Error(`the text has no ${marks.join(' … ')}`);
  return `${text.slice(0, from + marks[0].length)}\n\n${table}\n\n${text.slice(to)}`;
};
