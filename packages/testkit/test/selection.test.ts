import { describe, expect, test } from 'vitest';
import { axesOf as lawAxes } from '../src/bases.ts';
import { type Axes, type Cell, fullProduct, pictureFor, selectionFor } from '../src/selection.ts';

const names = (of: string, n: number): string[] => Array.from({ length: n }, (_, i) => `${of}${i}`);
const axesOf = (families: number, formats: number): Axes => ({
  families: names('family', families),
  formats: names('format', formats),
  packed: `format${formats - 1}`,
});
const methods = [
  'lora',
  'dora',
  'prefixTuning',
  'ia3',
  'bitfit',
  'unipelt',
  'houlsby',
  'ladderSide',
  ...names('m', 40),
];
const pairs = (cells: readonly Cell[]): Set<string> =>
  new Set(cells.map(({ family, format }) => `${family} ${format}`));

describe.each<[string, Axes]>([
  ['lawAxes()', lawAxes()],
  ['one family, one packed format', axesOf(1, 2)],
  ['more families', axesOf(7, 3)],
  ['more formats', axesOf(3, 9)],
  ['as many', axesOf(8, 8)],
])('the covering selection of %s', (_, axes) => {
  test.each(methods)('%s meets every family and every format on cpu', (method) => {
    const cells = selectionFor(method, axes);
    expect(new Set(cells.map(({ family }) => family))).toEqual(new Set(axes.families));
    expect(new Set(cells.map(({ format }) => format))).toEqual(new Set(axes.formats));
    expect(pairs(cells).size).toBe(cells.length);
    expect(cells.length).toBeLessThanOrEqual(1 + Math.max(axes.families.length, axes.formats.length));
    expect(cells.every(({ executors }) => executors === 'cpu' || executors === 'every')).toBe(true);
  });

  test('all laws hold on one dense base, those of families on every family', () => {
    const cells = selectionFor('lora', axes);
    expect(cells.filter(({ laws }) => laws === 'all')).toEqual([
      { family: axes.families[0], format: axes.formats[0], laws: 'all', executors: 'every' },
    ]);
    expect(new Set(cells.filter(({ laws }) => laws !== 'none').map(({ family }) => family))).toEqual(
      new Set(axes.families),
    );
  });

  test('the full product has every pair once', () => {
    const cells = fullProduct(axes);
    expect(cells).toHaveLength(axes.families.length * axes.formats.length);
    expect(pairs(cells).size).toBe(cells.length);
  });
});

test('methods together meet every pair of what is left of both axes', () => {
  const axes = axesOf(4, 8);
  const met = pairs(methods.flatMap((method) => selectionFor(method, axes)));
  for (const family of axes.families.slice(1))
    for (const format of axes.formats.slice(1, -1)) expect(met).toContain(`${family} ${format}`);
});

test('methods together meet every tower of pictures, each about as often', () => {
  const towers = ['vit', 'clip', 'swin'] as const;
  const met = methods.map((method) => pictureFor(method, towers));
  for (const tower of towers) expect(met.filter((own) => own === tower).length).toBeGreaterThan(methods.length / 6);
  expect(pictureFor('lora', towers)).toBe(pictureFor('lora', towers));
});
