import { PeftError } from '@peftjs/tensor';
import type { Call } from '../commands.ts';
import { result } from '../context.ts';
import { type Factory, methods } from '../methods.ts';
import { hint } from '../nearest.ts';

interface Card {
  readonly name: string;
  readonly about: string;
  readonly merges: boolean;
  readonly learningRate: number;
  readonly narrowRate?: number;
  readonly paper: Factory['paper'];
  readonly options: Readonly<Record<string, string>>;
}

const cardOf = ({ name, about, merges, learningRate, narrowRate, paper, options = {} }: Factory): Card => ({
  name,
  about,
  merges,
  learningRate,
  ...(narrowRate !== undefined && { narrowRate }),
  paper,
  options: Object.fromEntries(Object.entries(options).map(([option, { expected }]) => [option, expected])),
});

const textOf = ({ name, about, merges, learningRate, narrowRate, paper, options }: Card): string =>
  [
    `${name}: ${about}`,
    `${paper.authors}, ${paper.year}: ${paper.title}`,
    paper.url,
    `learning rate to begin with: ${learningRate}${narrowRate === undefined ? '' : `, or ${narrowRate} for models narrower than 512`}; ${merges ? 'folds' : 'does not fold'} into the weights`,
    ...(Object.keys(options).length > 0 ? ['options:'] : []),
    ...Object.entries(options).map(([option, expected]) => `  ${option}: ${expected}`),
  ].join('\n');

/** `peftjs methods`: a line for each method, or the card of one. Throws `bad-option` for one that there is not. */
export const run = async ({ args: [name], context }: Call): Promise<void> => {
  if (name === undefined) {
    const cards = [...methods.values()].map(cardOf).sort((a, b) => (a.name < b.name ? -1 : 1));
    const width = Math.max(...cards.map((card) => card.name.length));
    const lines = cards.map((card) => `${card.name.padEnd(width)}  ${card.about} (${card.paper.year})`);
    return result(context, cards, lines.join('\n'));
  }
  const found = methods.get(name);
  if (!found)
    throw new PeftError('bad-option', `methods: there is no method ${name}${hint(name, [...methods.keys()])}`);
  const card = cardOf(found);
  return result(context, card, textOf(card));
};
