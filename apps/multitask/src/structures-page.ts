import { type SearchResult, type SearchSpace, type Trial, trialsTable } from '@peftjs/hybrid';
import { mean } from './groups.ts';

/** Mean losses of the tasks after one training. */
export interface Losses {
  /** On training examples that were withheld from it: what a search sees. */
  readonly withheld: number;
  readonly test: number;
}

/** A structure and what came of it, by seed. */
export interface Structure {
  readonly name: string;
  readonly point: Trial['point'];
  readonly parameters: number;
  readonly losses: readonly Losses[];
}

/** How structures are trained and looked for. */
export interface StructureSettings {
  readonly steps: number;
  readonly batchSize: number;
  /** Examples of each task that are withheld, and that are tested on. */
  readonly tests: number;
  readonly rate: number;
  /** Trials of a search, and how many of them are drawn at random first. */
  readonly budget: number;
  readonly initial: number;
  /** The most values that may be trained. */
  readonly most: number;
  /** Random structures beside those that are found. */
  readonly random: number;
}

type Searches = Readonly<Record<string, SearchResult<SearchSpace>>>;

/** The middle of an odd number of values, or the mean of the two in the middle. */
const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const { length: n } = sorted;
  return (sorted[Math.floor((n - 1) / 2)]! + sorted[Math.floor(n / 2)]!) / 2;
};

const isRandom = ({ name }: Structure): boolean => name.startsWith('random');
const testOf = ({ losses }: Structure): number => mean(losses.map(({ test }) => test));

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;

/** Sizes of the parts and the layers that have them, in a few words. */
const shown = (point: Structure['point']): string => {
  const layers = Object.keys(point).filter((name) => name.startsWith('layer') && point[name] === true);
  const parts = ['serial', 'parallel', 'prefix']
    .filter((part) => point[part] !== 0)
    .map((part) => `${part} ${point[part]}`);
  return `${parts.join(', ')}; layers ${layers.map((name) => name.slice(5)).join(', ')}`;
};

/** The page of two searches and of random structures beside what they found. */
export const structuresPage = (
  searches: Searches,
  structures: readonly Structure[],
  { steps, batchSize, budget, initial, most, tests, rate }: StructureSettings,
): string => {
  const middle = median(structures.filter(isRandom).map(testOf));
  const outcome = structures
    .filter((one) => !isRandom(one))
    .map((one) => {
      const apart = middle - testOf(one);
      const { trials, best } = searches[one.name]!;
      return `\`${one.name}\` ${testOf(one).toFixed(3)} (its trial ${trials.indexOf(best) + 1}), ${Math.abs(apart).toFixed(3)} ${apart > 0 ? 'below' : 'above'} it`;
    });
  return `# Searches beside random structures

Tables and figure are written by \`npm run structures\`, from the record \`structures.jsonl\` beside this page; a run that was killed goes on where it was. The tasks are those of [multi-task methods](multitask.md).

- Space: \`autoPeftSpace\` of the base model: an adapter after the MLP (\`serial\`), one beside it (\`parallel\`), a prefix, each of several sizes or none, and the layers that have them. At most ${most.toLocaleString('en')} values are trained.
- Objective: the mean loss of six tasks on ${tests} examples of each that were withheld from training, after ${steps} steps of ${batchSize} examples at a rate of ${rate}; fewer values are a second aim.
- Searches: ${budget} trials each, of which the first ${initial} are drawn at random, the same in both.
- Random structures: ten of the same space, drawn among those of ${(most / 2).toLocaleString('en')} to ${most.toLocaleString('en')} values, trained as the trials are.

## What was found

The loss on test examples, which no search saw: that of the best trial of each search (mean of three seeds), and of the random structures. The median of the random ones is ${middle.toFixed(3)}: ${outcome.join('; ')}.

${[
  row(['structure', 'values', 'test loss', 'seeds', '']),
  row(['--', '--:', '--:', '--:', '--']),
  ...[...structures]
    .sort((a, b) => testOf(a) - testOf(b))
    .map((one) =>
      row([
        isRandom(one) ? one.name : `**${one.name}**`,
        one.parameters.toLocaleString('en'),
        testOf(one).toFixed(3),
        one.losses.length,
        shown(one.point),
      ]),
    ),
].join('\n')}

## Fronts

The loss on withheld examples by trained values: every trial, random structures too, and for each search the line of those that no other beats in one without losing in the other.

![Loss by trained values](structures.svg)

${Object.entries(searches)
  .map(([name, result]) => `### Trials of \`${name}\`\n\n${trialsTable(result)}`)
  .join('\n\n')}
`;
};

const colours = ['#3f6bdd', '#d9822b'];
const [width, height, left, bottom, top, right] = [640, 380, 62, 44, 34, 16];

/** A scale from the least to the most of some values, a little beyond both. */
const scaleOf = (values: readonly number[], from: number, to: number): ((v: number) => number) => {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const beyond = 0.05 * (most - least || 1);
  return (v) => from + ((v - least + beyond) / (most - least + 2 * beyond)) * (to - from);
};

/** Trials of searches and random structures in SVG, by trained values, on a logarithmic axis, and loss on withheld examples; the fronts as lines. */
export const structuresFigure = (searches: Searches, structures: readonly Structure[]): string => {
  const random = structures
    .filter(isRandom)
    .map(({ parameters, losses }) => ({ parameters, loss: losses[0]!.withheld }));
  const all = [
    ...Object.values(searches).flatMap(({ trials }) => trials.filter(({ loss }) => loss !== null)),
    ...random,
  ];
  const costs = all.map(({ parameters }) => Math.log10(parameters));
  const losses = all.map(({ loss }) => loss!);
  const [x, y] = [scaleOf(costs, left, width - right), scaleOf(losses, height - bottom, top)];
  type Dot = Pick<Trial, 'loss' | 'parameters'>;
  const place = ({ parameters, loss }: Dot): readonly [string, string] => [
    x(Math.log10(parameters)).toFixed(1),
    y(loss!).toFixed(1),
  ];
  const text = (at: number, down: number, anchor: string, content: string): string =>
    `<text x="${at.toFixed(1)}" y="${down.toFixed(1)}" text-anchor="${anchor}">${content}</text>`;
  const dots = (of: readonly Dot[], colour: string, radius: number): string =>
    of
      .filter(({ loss }) => loss !== null)
      .map(place)
      .map(([at, down]) => `<circle cx="${at}" cy="${down}" r="${radius}" fill="${colour}"/>`)
      .join('');
  const between = (values: readonly number[]): number[] =>
    [0, 1, 2, 3, 4].map((i) => Math.min(...values) + ((Math.max(...values) - Math.min(...values)) * i) / 4);
  const short = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 2 });
  const grid = between(losses).map(
    (loss) =>
      `<path d="M${left} ${y(loss).toFixed(1)}H${width - right}" stroke="#ddd"/>${text(left - 6, y(loss) + 4, 'end', loss.toFixed(2))}`,
  );
  const below = between(costs).map((at) => text(x(at), height - bottom + 18, 'middle', short.format(10 ** at)));
  const legend = [...Object.keys(searches), 'random'].map((name, i) => {
    const at = left + 90 + i * 100;
    return `<circle cx="${at}" cy="14" r="4" fill="${colours[i] ?? '#9aa3b2'}"/>${text(at + 10, 18, 'start', name)}`;
  });
  const parts = Object.values(searches).map(({ trials, front }, i) => {
    const line = `<path d="M${front.map((trial) => place(trial).join(' ')).join('L')}" fill="none" stroke="${colours[i]}" stroke-width="1.8"/>`;
    return line + dots(trials, colours[i]!, 5 - 2 * i);
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#222">`,
    `<title>Loss of structures by their trained values, with the fronts of two searches</title><rect width="100%" height="100%" fill="#fff"/>`,
    text(left, 18, 'start', 'loss'),
    text((left + width - right) / 2, height - 8, 'middle', 'trained values'),
    ...legend,
    ...grid,
    ...below,
    dots(random, '#9aa3b2', 3.5),
    ...parts,
    '</svg>\n',
  ].join('\n');
};
