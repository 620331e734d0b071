import type { AdapterLayout } from '@peftjs/io';
import { add, concatAll, mul, PeftError, slice, type Tensor } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import type { Method, Patch, Scope } from '../method.ts';
import { mergePatches } from '../patch.ts';
import { type Blend, blended, type Mix } from './blend.ts';
import { fusing } from './fusing.ts';
import { byRow, equalPart, rowsByTask, rowsEach, rowsInOrder, sizedPart } from './rows.ts';
import type { Window } from './window.ts';

/** The kinds of blocks. */
export type BlockKind = 'stack' | 'average' | 'fuse' | 'split' | 'batchSplit' | 'parallel' | 'multiTask';

/** The numbers and choices of a block, beside its parts. */
export interface Settings {
  /** Of `average`: the weight of each part, as it is used. */
  readonly weights?: readonly number[];
  /** Of `average`: the factor of the output without any part. */
  readonly base?: number;
  /** Of `split`: tokens of each part. */
  readonly lengths?: readonly number[];
  /** Of `batchSplit`: rows of each part. */
  readonly sizes?: readonly number[];
  /** Of `fuse`: whether it has a matrix of values. */
  readonly values?: boolean;
  /** Whose files it has. Default: ours. */
  readonly layout?: AdapterLayout;
}

/** A block: its kind, its parts in order, and what else it was given. */
export interface Block {
  readonly kind: BlockKind;
  readonly parts: readonly (readonly [name: string, method: Method])[];
  readonly settings: Settings;
}

/** The parts' names, the settings, the block's own scope, and the rows and tokens that are its. */
export interface BlockSight {
  readonly names: readonly string[];
  readonly settings: Settings;
  readonly scope: Scope;
  readonly window: Window;
}

/** A kind of blocks. */
export interface Kind {
  /** Whether it folds into the weights where all its parts do. */
  readonly merges: boolean;
  /** The settings that it has. */
  readonly has: readonly (keyof Settings)[];
  problems(settings: Settings, names: readonly string[]): readonly string[];
  /** The window of a part by its number. Default: the block's. */
  within?(sight: BlockSight, part: number): Window;
  patch(model: Model, patches: readonly Patch[], sight: BlockSight): Patch;
}

const noProblems = (): readonly string[] => [];

const isCounts = (v: readonly number[]): boolean => v.every((n) => Number.isSafeInteger(n) && n >= 1);

/** The fault of a list with one number for each part. */
const listProblems =
  (field: 'weights' | 'lengths' | 'sizes', expected: string, accepts: (v: readonly number[]) => boolean) =>
  (settings: Settings, names: readonly string[]): string[] => {
    const given: unknown = settings[field];
    if (!Array.isArray(given) || !accepts(given)) return [`${field} must be ${expected}`];
    return given.length === names.length
      ? []
      : [`there are ${names.length} parts and ${given.length} ${field}; give one for each`];
  };

/** c·y + Σ wᵢ·yᵢ, with c left out where it is 0: parts may then put rows in front. */
const weighted = (who: string, weights: readonly number[], base: number) => {
  const sum = (parts: readonly Tensor[], plain: Tensor): Tensor => {
    const terms = parts.map((y, i) => mul(y, weights[i]!));
    if (Math.abs(base) < 1e-12) return terms.reduce((a, b) => add(a, b));
    if (String(plain.shape) !== String(parts[0]!.shape))
      throw new PeftError('bad-shape', `${who}: rows in front have an average only where the weights sum to 1`);
    return [mul(plain, base), ...terms].reduce((a, b) => add(a, b));
  };
  return sum;
};

const always = (who: string, mix: Mix, more: Partial<Blend> = {}): Blend => ({ who, at: () => mix, ...more });

const sumOf = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** The first token of each part and the end of the last, those outside of the window to the first and the last part. */
const splitMix =
  (lengths: readonly number[], { tokens: window }: Window): Mix =>
  (parts, _, { path }) => {
    const [first] = parts as readonly [Tensor];
    const own = sumOf(lengths);
    const tokens = first.shape.length < 3 ? 0 : first.shape[1]!;
    if (window ? window.start + window.size > tokens : tokens !== own)
      throw new PeftError(
        'bad-shape',
        `split: ${path} gives [${first.shape.join(', ')}], not rows for the ${own} tokens that the lengths ${lengths.join(', ')} sum to; it is for whole sequences of that length, without rows in front`,
      );
    const starts = lengths.map((__, i) => (i === 0 ? 0 : (window?.start ?? 0) + sumOf(lengths.slice(0, i))));
    return concatAll(
      parts.map((y, i) => slice(y, { axis: 1, start: starts[i]!, end: starts[i + 1] ?? tokens })),
      1,
    );
  };

const withoutTokens = ['heads', 'kv', 'crossKv', 'experts'];

/** The kinds by name. */
export const kinds: { readonly [K in BlockKind]: Kind } = {
  stack: {
    merges: true,
    has: [],
    problems: noProblems,
    patch: (_, patches) => mergePatches(patches),
  },
  average: {
    merges: true,
    has: ['weights', 'base'],
    problems: (settings, names) => [
      ...listProblems('weights', 'a list of finite numbers', (v) => v.every(Number.isFinite))(settings, names),
      ...(Number.isFinite(settings.base) ? [] : ['base must be a finite number']),
    ],
    patch: (model, patches, { settings: { weights, base } }) => {
      const sum = weighted('average', weights!, base!);
      return blended(model, patches, always('average', sum, { values: sum }));
    },
  },
  fuse: {
    merges: false,
    has: ['values'],
    problems: (_, names) => [
      ...(names.length < 2 ? ['attention over parts takes two or more of them'] : []),
      ...(names.includes('fusion') ? ['a part cannot be called fusion, as the tensors of the attention are'] : []),
    ],
    patch: (model, patches, { scope, settings: { values = true } }) =>
      blended(model, patches, fusing(model, scope.at('fusion'), values)),
  },
  split: {
    merges: false,
    has: ['lengths'],
    problems: listProblems('lengths', 'whole numbers of at least 1', isCounts),
    within: ({ settings: { lengths = [] }, window }, i) => ({
      ...window,
      tokens: { start: (window.tokens?.start ?? 0) + sumOf(lengths.slice(0, i)), size: lengths[i]! },
    }),
    patch: (model, patches, { settings: { lengths = [] }, window }) => {
      if (window.tokens && window.tokens.size !== sumOf(lengths))
        throw new PeftError(
          'bad-option',
          `split: the lengths ${lengths.join(', ')} sum to ${sumOf(lengths)}, and the split around it gives it ${window.tokens.size} tokens`,
        );
      return blended(model, patches, {
        who: 'split',
        acrossRows: true,
        at: (kind, path) => {
          if (withoutTokens.includes(kind))
            throw new PeftError(
              'bad-option',
              `split: a part changes ${path} at ${kind}, whose rows are no tokens of a sequence; use methods of the stream or of layers`,
            );
          return splitMix(lengths, window);
        },
      });
    },
  },
  batchSplit: {
    merges: false,
    has: ['sizes'],
    problems: listProblems('sizes', 'whole numbers of at least 1', isCounts),
    within: ({ settings: { sizes = [] }, window }, i) => ({
      ...window,
      rows: sizedPart(sizes, i, window),
      wholeBatch: false,
    }),
    patch: (model, patches, { settings: { sizes = [] }, window }) => ({
      ...blended(model, patches, always('batchSplit', byRow('batchSplit', rowsInOrder(sizes, window)))),
      ...(window.wholeBatch && { batchSize: sumOf(sizes) }),
    }),
  },
  parallel: {
    merges: false,
    has: [],
    problems: noProblems,
    within: ({ names, window }, i) => ({ ...window, rows: equalPart(names.length, i, window), wholeBatch: false }),
    patch: (model, patches, { names, window }) =>
      blended(model, patches, always('parallel', byRow('parallel', rowsEach(names.length, window)))),
  },
  multiTask: {
    merges: false,
    has: [],
    problems: noProblems,
    within: ({ window }) => ({ ...window, rows: null, wholeBatch: false }),
    patch: (model, patches, { names }) => {
      const patch = blended(model, patches, always('multiTask', byRow('multiTask', rowsByTask(names))));
      return { ...patch, columns: { ...patch.columns, task: { shape: [], dtype: 'i32', below: names.length } } };
    },
  },
};
