import type { Law } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { type Architecture, architectures, axesOf, formats, pictures } from '../bases.ts';
import { openExecutors, testOn } from '../executors.ts';
import { type Cell, fullProduct, pictureFor, selectionFor } from '../selection.ts';
import { timeout } from '../timeout.ts';
import { type Expected, expectedOf, mustAgree } from './executor-law.ts';
import { fileLaws } from './file-laws.ts';
import { familyLaws, formatLaws, methodLaws, refusalOf, wordsOf } from './laws.ts';
import type { AnyFactory, MethodCase, MethodRow, OptionsOf } from './row.ts';

type Opened = ReturnType<typeof openExecutors>;

/** The architectures that methods are tried on. */
export interface OnFamilies {
  /** All laws are tried on the first. Default: a decoder, and the others over texts. */
  readonly families?: readonly Architecture[];
}

const lawsOf: Readonly<Record<Cell['laws'], (of: MethodCase) => readonly Law[]>> = {
  all: methodLaws,
  format: formatLaws,
  family: familyLaws,
  none: () => [],
};

const describeCell = (factory: AnyFactory, row: MethodRow, cell: Cell, opened: Opened): void => {
  const { family, format, laws, executors } = cell;
  const title = `${factory.name} on ${family} over ${format}`;
  const of: MethodCase = {
    factory,
    row,
    base: (sizes) => formats[format]!(architectures[family as Architecture](sizes)),
  };
  const isRefused = refusalOf(of) !== null;
  const checks = lawsOf[laws](of);
  if (checks.length > 0)
    describe(isRefused ? `${title} is refused` : `${title} on reference`, () => {
      for (const { name, check } of checks) test(name, { timeout }, check);
    });
  if (isRefused) return;
  let expected: Promise<Expected> | undefined;
  for (const [executor, open] of opened)
    if (executors === 'every' || executors === executor)
      describe(`${title} on ${executor}`, () => {
        testOn('logits, loss and gradients are what the definition says', executor, open, async (on) => {
          expected ??= expectedOf(of);
          await mustAgree(await expected, on);
        });
      });
};

/**
 * A method over texts on a model of pictures: its files come back, and the CPU computes what the definition says; or it is refused, and the test is called by its words. What is counted and
 * merged, other cells have tried.
 */
const describePictures = (factory: AnyFactory, row: MethodRow, family: Architecture, opened: Opened): void => {
  const title = `${factory.name} on ${family} over dense`;
  const of: MethodCase = { factory, row, base: (sizes) => architectures[family](sizes) };
  const words = wordsOf(of);
  if (words !== null) {
    describe(`${title} is refused`, () => {
      test(words, { timeout }, () => expect(wordsOf(of)).toBe(words));
    });
    return;
  }
  const [{ name, check }] = fileLaws(of) as readonly [Law, ...Law[]];
  describe(`${title} on reference`, () => test(name, { timeout }, check));
  for (const [executor, open] of opened)
    if (executor === 'cpu')
      describe(`${title} on ${executor}`, () => {
        testOn('logits, loss and gradients are what the definition says', executor, open, async (on) =>
          mustAgree(await expectedOf(of), on),
        );
      });
};

const describeRow = (factory: AnyFactory, row: MethodRow, opened: Opened, { families }: OnFamilies): void => {
  const full = Boolean(process.env['PEFTJS_FULL']);
  const axes = axesOf(families);
  for (const cell of full ? fullProduct(axes) : selectionFor(factory.name, axes))
    describeCell(factory, row, cell, opened);
  if (families !== undefined) return;
  for (const picture of full ? pictures : [pictureFor(factory.name, pictures)])
    describePictures(factory, row, picture, opened);
};

/**
 * Tests of a method: every law of the contract on the reference executor, on the first architecture, dense, and that the other executors compute the same;
 * the rest of architectures and storage formats by a covering selection (`selectionFor`), or all of them where `PEFTJS_FULL` is set.
 */
export const describeMethod = <F extends AnyFactory>(
  factory: F,
  row: MethodRow<OptionsOf<F>>,
  on: OnFamilies = {},
): void => describeRow(factory, row as MethodRow, openExecutors(), on);

/** The methods among the exports of a family's index, by name. */
type MethodsOf<T> = { readonly [K in keyof T as T[K] extends AnyFactory ? K : never]: T[K] };

/** One row for each of them. */
export type MethodRows<T> = { readonly [K in keyof MethodsOf<T>]: MethodRow<OptionsOf<MethodsOf<T>[K]>> };

const isFactory = (value: unknown): value is AnyFactory =>
  typeof value === 'function' && 'paper' in value && 'peftType' in value;

/** `describeMethod` of each method that a family exports: `describeMethods(family, rows)`. A method without a row fails, and so does a row without a method. */
export const describeMethods = <T extends object>(family: T, rows: MethodRows<T>, on: OnFamilies = {}): void => {
  const factories = new Map(Object.entries(family).filter((e): e is [string, AnyFactory] => isFactory(e[1])));
  test('every method has a row of laws, and every row is of a method', () => {
    expect(Object.keys(rows).toSorted()).toEqual([...factories.keys()].toSorted());
  });
  const opened = openExecutors();
  for (const [name, row] of Object.entries(rows) as [string, MethodRow][]) {
    const factory = factories.get(name);
    if (factory) describeRow(factory, row, opened, on);
  }
};
