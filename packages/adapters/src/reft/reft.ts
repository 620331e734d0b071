import {
  type AdapterConfig,
  type Chosen,
  count,
  defineMethod,
  flag,
  type Init,
  kaimingUniform,
  type MethodCard,
  type MethodFactory,
  type Option,
  type OptionTable,
  oneOf,
  rate,
  type Scope,
  uniform,
  wholeNumber,
} from '@peftjs/core';
import { add, matmul, PeftError, select, sub, type Tensor } from '@peftjs/tensor';
import { type Around, affine, type Path } from '@peftjs/transformer';
import { type Activation, activationIn, activationOption, type Layer } from '../activation.ts';
import { orthogonalRows } from './orthogonal.ts';
import { positionsIn } from './positions.ts';

/** Options of `loReft`, `noReft` and `diReft`. */
export interface ReftOptions {
  /** Rank r of the interventions. Default 1. */
  readonly rank?: number;
  /** Numbers of the layers after which there are some. Default: all. */
  readonly layers?: readonly number[] | 'all';
  /** How many of a sequence's first tokens are changed. Default 3. */
  readonly prefixPositions?: number;
  /**
   * How many of its last tokens are changed: of those that are given at once, so that what comes later has an influence on what came before.
   * Default 0.
   */
  readonly suffixPositions?: number;
  /**
   * Whose first and last tokens those are. `given`: of all that are given at once. `prompt`, as pyreft has them: of a prompt, at most half of
   * it from either end, and none of what goes on with a cache; a training step gives prompt and answer at once, so there the last ones are
   * the answer's. The adapters library passes it over in a file. Default `given`.
   */
  readonly positionsOf?: 'given' | 'prompt';
  /** Whether both have the same tensors in a layer. Default false. */
  readonly tied?: boolean;
  /** f. Default `linear`. */
  readonly activation?: Activation;
  /** Probability that a value of a changed state is dropped while training. Default 0.05. */
  readonly dropout?: number;
}

/** The marks that tell the three apart. */
interface Reft {
  readonly name: string;
  readonly peftType: string;
  readonly about: string;
  /** Whether the rows of P are orthonormal. */
  readonly orthogonal: boolean;
  /** Whether the state's own projection is subtracted. */
  readonly subtracts: boolean;
}

const layers: Option<readonly number[] | 'all'> = {
  key: 'layers',
  fallback: () => 'all',
  expected: 'all, or a list of numbers of layers',
  accepts: (v) =>
    v === 'all' || (Array.isArray(v) && v.length > 0 && v.every((i) => Number.isSafeInteger(i) && i >= 0)),
  toJson: (v) => (v === 'all' ? v : [...v]),
};

const options: OptionTable<ReftOptions> = {
  rank: count('r', 1),
  layers,
  prefixPositions: wholeNumber('prefix_positions', 3),
  suffixPositions: wholeNumber('suffix_positions', 0),
  // No option of the adapters library, so it is left out where it is that library's way.
  positionsOf: {
    ...oneOf<'given' | 'prompt'>('positions_of', ['given', 'prompt'], 'given'),
    toJson: (v) => (v === 'given' ? undefined : v),
  },
  tied: flag('tied_weights', false),
  activation: activationOption('linear'),
  dropout: rate('dropout', 0.05),
};

/** One intervention: x + Pᵀ(f(W x + b) − P x). It is frozen where no token is changed by it, as then only its place in the file matters. */
const unit = (
  scope: Scope,
  d: number,
  { orthogonal, subtracts }: Reft,
  { rank, activation, dropout }: Chosen<ReftOptions>,
  used: boolean,
): Layer => {
  const tensor = (name: string, shape: readonly number[], init: Init): Tensor =>
    used ? scope.param(name, shape, init) : scope.buffer(name, shape, init);
  const weight = tensor('learned_source.weight', [rank, d], kaimingUniform);
  const bias = tensor('learned_source.bias', [rank], uniform(1 / Math.sqrt(d)));
  const p = orthogonal
    ? orthogonalRows(scope.at('projection.parametrizations.weight'), rank, d, used)
    : tensor('projection.weight', [rank, d], kaimingUniform);
  const f = activationIn(
    used ? scope : { ...scope, param: (...made) => scope.buffer(made[0], made[1], made[2]) },
    activation,
  );
  return (x) => {
    const source = f(affine(x, { weight, bias }));
    const change = subtracts ? sub(source, matmul(x, p, { transposeB: true })) : source;
    return scope.dropout(add(x, matmul(change, p)), dropout);
  };
};

const intervene = (scope: Scope, hiddenSize: number, kind: Reft, chosen: Chosen<ReftOptions>): Around<'block'> => {
  const { prefixPositions, suffixPositions, tied } = chosen;
  const make = (i: number, used: boolean): Layer =>
    unit(scope.at(`reft_layer.refts.default.units.${i}`), hiddenSize, kind, chosen, used);
  const ofPrefix = make(0, tied || prefixPositions > 0);
  const ofSuffix = tied ? ofPrefix : make(1, suffixPositions > 0);
  return (x, next, call) => {
    const y = next(x);
    const { prefix, suffix } = positionsIn(y, call, chosen);
    const front = prefix ? select(prefix, ofPrefix(y), y) : y;
    return suffix ? select(suffix, ofSuffix(y), front) : front;
  };
};

const paper: MethodCard['paper'] = {
  authors: 'Wu et al.',
  year: 2024,
  title: 'ReFT: Representation Finetuning for Language Models',
  url: 'https://arxiv.org/abs/2404.03592',
};

const reads =
  ({ orthogonal, subtracts }: Reft) =>
  ({ architecture, orthogonality, subtract_projection: subtracted }: AdapterConfig): boolean =>
    architecture === 'reft' && (orthogonality === true) === orthogonal && ((subtracted ?? true) === true) === subtracts;

const defineReft = (kind: Reft): MethodFactory<ReftOptions> =>
  defineMethod<ReftOptions>({
    name: kind.name,
    formula: {
      merges: false,
      options,
      check: ({ prefixPositions, suffixPositions = 0 }) =>
        prefixPositions === 0 && suffixPositions === 0
          ? 'prefixPositions and suffixPositions are both 0, so that nothing is changed; give one'
          : null,
      attach: (model, scope, chosen) => {
        const paths = model.paths('block').filter((_, i) => chosen.layers === 'all' || chosen.layers.includes(i));
        if (paths.length === 0)
          throw new PeftError('no-match', `${kind.name}: the model has none of the layers ${chosen.layers}`);
        const least = Math.min(...paths.map((path) => model.widthAt(path)));
        if (kind.orthogonal && chosen.rank >= least)
          throw new PeftError(
            'bad-option',
            `${kind.name}: rank ${chosen.rank} must be below the hidden size ${least}; choose less`,
          );
        return {
          around: {
            block: new Map(
              paths.map((path): [Path, Around<'block'>] => [
                path,
                intervene(scope.at(path), model.widthAt(path), kind, chosen),
              ]),
            ),
          },
        };
      },
    },
    files: {
      peftType: kind.peftType,
      layout: 'adapter-hub',
      reads: reads(kind),
      computes: { output_reft: [true] },
      config: () => ({
        architecture: 'reft',
        orthogonality: kind.orthogonal,
        // The library's own files leave it out, and it subtracts whatever a file says: what it saved as DiReFT it reads as NoReFT, and so is it read here.
        ...(!kind.subtracts && { subtract_projection: false }),
        output_reft: true,
      }),
    },
    card: { about: kind.about, paper, learningRate: 9e-4, ...(!kind.orthogonal && { narrowRate: 3e-3 }) },
  });

/**
 * LoReFT: after every layer the states x of some tokens become x + Pᵀ(f(W x + b) − P x): P [r, d] with orthonormal rows, random at the
 * start, W [r, d] from U(−1/√d, 1/√d) and b [r] likewise. The base is frozen. Default: the first 3 tokens, r = 1, f the identity, as
 * `LoReftConfig` of the adapters library, whose files it has, with a frozen matrix [d, d] for each P. Does not merge. Throws `bad-option`,
 * `no-match`. Wu et al., 2024. https://arxiv.org/abs/2404.03592
 */
export const loReft: MethodFactory<ReftOptions> = defineReft({
  name: 'loReft',
  peftType: 'LOREFT',
  about: 'edits of some states in an orthonormal subspace',
  orthogonal: true,
  subtracts: true,
});

/** NoReFT: the same with P [r, d] from U(−1/√d, 1/√d), which need not stay orthonormal. Wu et al., 2024. https://arxiv.org/abs/2404.03592 */
export const noReft: MethodFactory<ReftOptions> = defineReft({
  name: 'noReft',
  peftType: 'NOREFT',
  about: 'edits of some states in a subspace',
  orthogonal: false,
  subtracts: true,
});

/**
 * DiReFT: x + Pᵀ f(W x + b), so nothing is subtracted, and P as in `noReft`. The adapters library (1.3) trains it, but no file of its own says
 * so and it reads all as NoReFT; files here say `subtract_projection: false`. Wu et al., 2024. https://arxiv.org/abs/2404.03592
 */
export const diReft: MethodFactory<ReftOptions> = defineReft({
  name: 'diReft',
  peftType: 'DIREFT',
  about: 'low-rank additions to some states',
  orthogonal: false,
  subtracts: false,
});
