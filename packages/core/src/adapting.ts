import { pythonPattern } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { type BiasChoice, trainBiases } from './biases.ts';
import { type Asked, type LayerTarget, layersOf } from './layer-target.ts';
import type { Patch, Scope } from './method.ts';
import { isPattern, type Option, type OptionTable, readTarget, targetExpected, targets } from './option.ts';
import { mergePatches } from './patch.ts';
import { requireOwnTables } from './shared-table.ts';
import { type TokenChoice, trainTokens } from './trainable-tokens.ts';
import { isWithin, modulesOf, wholeLayers } from './whole-layers.ts';

/** Options of every method that adapts layers, beside its own; in files they are fields of Hugging Face PEFT. */
export interface AdaptingOptions {
  /**
   * Layers trained whole and saved beside the adapter, and not adapted: ends of paths of modules, or of modules that hold them (`lm_head`;
   * `norm` names every module that ends so, as in Hugging Face PEFT). Default: none.
   */
  readonly modulesToSave?: readonly string[];
  /**
   * Numbers of the layers of the stack in which modules are adapted. A target that is a full path stays, whatever its number, as in Hugging
   * Face PEFT. Default: all.
   */
  readonly layers?: readonly number[];
  /** The module that numbers them: a name or a regular expression of Python. Default: the first that has a number behind it. */
  readonly layersPattern?: string | readonly string[];
  /** Layers that are not adapted though the target names them. Default: none. */
  readonly exclude?: LayerTarget;
}

const isNames = (v: unknown): v is readonly string[] =>
  Array.isArray(v) && v.every((name) => typeof name === 'string' && name !== '');

const isNumbers = (v: unknown): v is readonly number[] =>
  Array.isArray(v) && v.every((n) => Number.isSafeInteger(n) && n >= 0);

const none: LayerTarget = [];

const isNone = (target: LayerTarget): boolean => Array.isArray(target) && target.length === 0;

/** How files hold them. What narrows a target is written into it as full paths, so that each version of PEFT reads the same layers. */
export const adaptingOptions: OptionTable<AdaptingOptions> = {
  modulesToSave: {
    key: 'modules_to_save',
    fallback: () => [],
    expected: 'a list of names of modules',
    accepts: isNames,
    toJson: (names) => (names.length > 0 ? [...names] : undefined),
  },
  layers: {
    key: 'layers_to_transform',
    fallback: () => [],
    expected: 'a list of numbers of layers',
    accepts: isNumbers,
    toJson: () => undefined,
    fromJson: (value) => (typeof value === 'number' ? [value] : value),
  },
  layersPattern: {
    key: 'layers_pattern',
    fallback: () => [],
    expected: 'a name or a regular expression of Python, or several',
    accepts: (v) => (typeof v === 'string' ? [v] : isNames(v) ? v : ['(']).every(isPattern),
    toJson: () => undefined,
  },
  exclude: {
    ...(targets('exclude_modules', none) as Option<LayerTarget>),
    expected: targetExpected,
    toJson: () => undefined,
    resolve: (target) => target,
    fromJson: readTarget,
  },
};

/** The number of the layer that a path lies in, by Hugging Face PEFT's rule; null outside of numbered layers. */
const layerNumber = (path: Path, patterns: readonly string[], method: string): number | null => {
  const sources =
    patterns.length > 0
      ? patterns.map((p) => `(?:^|.*?\\.)${p}\\.(?P<idx>\\d+)\\.`)
      : ['.*?\\.[^.]*\\.(?P<idx>\\d+)\\.'];
  for (const source of sources) {
    const found = pythonPattern(source, `${method}: layersPattern`).match(path)?.named.get('idx');
    if (found !== undefined) return Number(found);
  }
  return null;
};

/** The options that choose layers, filled in. */
export interface Choosing {
  readonly target: LayerTarget;
  readonly modulesToSave: readonly string[];
  readonly layers: readonly number[];
  readonly layersPattern: string | readonly string[];
  readonly exclude: LayerTarget;
  /** Parameters that are adapted beside layers: of a method that has such an option, the target may then be an empty list. */
  readonly targetParameters?: readonly string[];
}

/** Whether the layers are others than those that the target names. */
export const isNarrowed = ({ layers, exclude }: Choosing): boolean => layers.length > 0 || !isNone(exclude);

/** Of some paths those in layers of these numbers. Throws `no-match` for a number that none of them has. */
const inLayers = (
  paths: readonly Path[],
  { target, layers, layersPattern }: Choosing,
  { method, strict }: Asked,
): Path[] => {
  const patterns = typeof layersPattern === 'string' ? [layersPattern] : layersPattern;
  const exact = new Set<unknown>(Array.isArray(target) ? target : [target]);
  const numbers = new Map(paths.map((path) => [path, layerNumber(path, patterns, method)]));
  const missing = layers.filter((n) => ![...numbers.values()].includes(n));
  if (missing.length > 0 && (strict || missing.length === layers.length))
    throw new PeftError(
      'no-match',
      `${method}: layers: the target names nothing in layer ${missing.join(', ')}; it does in ${[...new Set(numbers.values())].filter((n) => n !== null).join(', ') || 'none'}`,
    );
  return paths.filter((path) => exact.has(path) || layers.includes(numbers.get(path) ?? -1));
};

/** The layers that a method adapts, of those that it can. Throws `no-match`. */
export const adaptedLayers = (model: Model, choosing: Choosing, candidates: readonly Path[], asked: Asked): Path[] => {
  const { target, modulesToSave, layers, exclude, targetParameters = [] } = choosing;
  if (Array.isArray(target) && target.length === 0 && targetParameters.length > 0) return [];
  const whole = [...modulesToSave, ...model.trainedHeads];
  const named = layersOf(model, target, candidates, asked);
  const numbered = layers.length > 0 ? inLayers(named, choosing, asked) : named;
  const excluded = new Set(isNone(exclude) ? [] : excludedBy(model, exclude, candidates, asked));
  const left = numbered.filter((path) => !excluded.has(path) && !whole.some((name) => isWithin(name, path)));
  requireOwnTables(model, left, asked.method);
  if (left.length > 0) return left;
  throw new PeftError(
    'no-match',
    `${asked.method}: the target names ${named.slice(0, 8).join(', ')}, all of which are excluded, trained whole or in other layers`,
  );
};

/** A file may exclude what there is not; PEFT warns of it. */
const excludedBy = (model: Model, exclude: LayerTarget, candidates: readonly Path[], asked: Asked): Path[] => {
  try {
    return layersOf(model, exclude, candidates, { ...asked, method: `${asked.method}: exclude` });
  } catch (error) {
    if (!asked.strict && error instanceof PeftError && error.code === 'no-match') return [];
    throw error;
  }
};

/** The parts that are trained beside the method's own. */
export interface Beside {
  readonly modulesToSave: readonly string[];
  readonly bias?: BiasChoice;
  readonly trainableTokens?: TokenChoice;
}

/** A method's patch with all that is trained beside it. Throws `no-match`, `bad-option`. */
export const withBeside = (
  own: Patch,
  model: Model,
  scope: Scope,
  paths: readonly Path[],
  { modulesToSave, bias = 'none', trainableTokens = [] }: Beside,
  asked: Asked,
): Patch => {
  const { method } = asked;
  // The task's own heads are trained beside every adapter, once.
  const whole =
    modulesToSave.length > 0
      ? modulesOf(model, modulesToSave, asked).filter((path) => !model.trainedHeads.includes(path))
      : [];
  requireOwnTables(model, whole, method);
  const tokens = trainTokens(model, scope, trainableTokens, method);
  const twice = [...tokens.embedding!.keys()].filter((path) => whole.includes(path) || paths.includes(path));
  if (twice.length > 0)
    throw new PeftError(
      'bad-option',
      `${method}: trainableTokens: rows of ${twice.join(', ')} cannot be trained alone, as the whole of it is adapted or trained`,
    );
  return mergePatches([
    own,
    wholeLayers(model, whole, scope),
    trainBiases(model, scope, bias, paths, new Set([...whole, ...model.trainedHeads])),
    tokens,
  ]);
};

/** The field of a file that names the layers that a method adapts. */
export const targetKey: string = 'target_modules';
