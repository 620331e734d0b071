import { PeftError } from '@peftjs/tensor';

/** A way of storing one layer: its error, and its size. */
export interface Candidate {
  readonly error: number;
  readonly bits: number;
}

type Solve = typeof import('highs');

const solver = async (): Promise<Solve> => {
  try {
    return await import('highs');
  } catch (cause) {
    throw new PeftError(
      'bad-option',
      'loftqBase: a budget is kept by the solver HiGHS, which is not installed; npm install highs',
      { cause },
    );
  }
};

const sum = (terms: readonly string[]): string => terms.join('\n + '); // lines of a program are short

/** Numbers as the solver's text has them. */
const text = (value: number): string => value.toPrecision(15);

/**
 * For each layer one of its candidates, so that their errors sum to the least that the budget allows, `budget` bits for each of their values: an integer program, solved by HiGHS (npm `highs`) to a ten thousandth of the optimum.
 * Huangfu & Hall, 2018. https://doi.org/10.1007/s12532-017-0130-5. Throws `bad-option` where the smallest candidates take more than that, and where `highs` is not installed.
 */
export const chooseWithin = async (
  layers: readonly (readonly Candidate[])[],
  values: number,
  budget: number,
): Promise<number[]> => {
  const least = layers.reduce((n, ways) => n + Math.min(...ways.map(({ bits }) => bits)), 0);
  if (least > budget * values)
    throw new PeftError(
      'bad-option',
      `loftqBase: the smallest bases take ${(least / values).toFixed(3)} bits a value, the budget is ${budget}; give a larger budget or a smaller base`,
    );
  const { default: load } = await solver();
  const all = layers.flatMap((ways, i) => ways.map((way, j) => ({ name: `x${i}_${j}`, ...way })));
  const largest = Math.max(...all.map(({ error }) => error), Number.MIN_VALUE);
  const one = layers.map((ways, i) => ` layer${i}: ${sum(ways.map((_, j) => `x${i}_${j}`))} = 1`);
  const program = [
    'Minimize',
    ` error: ${sum(all.map(({ error, name }) => `${text((1000 * error) / largest)} ${name}`))}`,
    'Subject To',
    ...one,
    ` bits: ${sum(all.map(({ bits, name }) => `${text(bits / (budget * values))} ${name}`))} <= 1`,
    'Binary',
    ...all.map(({ name }) => ` ${name}`),
    'End',
  ].join('\n');
  const { Status, Columns } = (await load()).solve(program);
  if (Status !== 'Optimal') throw new PeftError('bad-data', `loftqBase: the solver ended with ${Status}`);
  const isChosen = (name: string): boolean => {
    const column = Columns[name];
    return column !== undefined && 'Primal' in column && column.Primal > 0.5;
  };
  return layers.map((ways, i) => ways.findIndex((_, j) => isChosen(`x${i}_${j}`)));
};
