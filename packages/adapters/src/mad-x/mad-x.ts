import {
  type AdapterConfig,
  flag,
  type MethodFactory,
  type MiddlewareTable,
  type OptionTable,
  positive,
  type Scope,
} from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { type BottleneckKind, defineBottleneck } from '../define-bottleneck.ts';
import { homeOf } from '../home.ts';
import { houlsbyKind, houlsbyPlace } from '../houlsby.ts';
import { type BottleneckOptions, bottleneckOptions } from '../options.ts';
import { pfeifferKind, pfeifferPlace } from '../pfeiffer.ts';
import { type Placement, placementIn, samePlace } from '../placement.ts';
import { nice } from './invertible.ts';

/** Options of `madX` and `madXHoulsby`, beside those of all bottleneck adapters. */
export interface MadXOptions extends BottleneckOptions {
  /** The inner width of the invertible adapter's halves is d / 2 / invertibleReduction. Default 2. */
  readonly invertibleReduction?: number;
  /**
   * Whether it is inverted before a head that has the vocabulary, as in the paper. Default true. The adapters library does so in models with
   * heads of its own (`AutoAdapterModel`) and not in those of transformers: for an adapter that was trained in one of these, false.
   */
  readonly invertHead?: boolean;
}

/** Whether a configuration's adapters are placed so, beside an invertible one. */
export const isInvertibleAt =
  (at: Placement) =>
  (config: AdapterConfig): boolean =>
    config['inv_adapter'] === 'nice' && config['phm_layer'] !== true && samePlace(placementIn(config), at);

/** The sites of heads that give a value for each token of the vocabulary. Throws `bad-option` where such a head is no site, since layers of its own stand before it (BERT). */
const vocabularyHeads = (model: Model): readonly Path[] => {
  const { linears, embeddings, main } = model;
  const rows = main.tokenTable === null ? null : embeddings.get(main.tokenTable)!.rows;
  const all = [...linears].filter(([, { outDim }]) => outDim === rows).map(([path]) => path);
  const heads = model.paths('head').filter((path) => all.includes(path));
  const blocks = model.paths('block');
  const odd = all.find((path) => !heads.includes(path) && !blocks.some((block) => path.startsWith(`${block}.`)));
  if (odd === undefined) return heads;
  throw new PeftError(
    'bad-option',
    `madX: layers of the head's own stand before ${odd}, so that nothing can be put in front of it here; give invertHead: false`,
  );
};

const around = (
  model: Model,
  scope: Scope,
  {
    activation,
    invertibleReduction,
    invertHead,
  }: Required<Pick<MadXOptions, 'activation' | 'invertibleReduction' | 'invertHead'>>,
): MiddlewareTable => {
  const own = homeOf(model, scope).at('invertible_adapters.default');
  // After positions and norms of the embedding, as the library has it.
  const first = model.towers.map((tower) => tower.paths('block')[0]!);
  const [width, other = width] = [...new Set(first.map((path) => model.widthAt(path)))] as [number, number?];
  if (other !== width)
    throw new PeftError(
      'bad-option',
      `madX: all towers share an invertible adapter, and those of ${model.layout.modelType} are of the widths ${width} and ${other}; use pfeiffer or houlsby`,
    );
  const { forward, inverse } = nice(own, width, invertibleReduction, activation);
  const heads = invertHead ? vocabularyHeads(model) : [];
  return {
    block: new Map(first.map((path) => [path, (x, next) => next(forward(x))])),
    head: new Map(heads.map((path) => [path, (x, next) => inverse(next(x))])),
  };
};

const withInvertible = (
  name: string,
  peftType: string,
  { card, placement }: BottleneckKind,
  place: Placement,
  table: OptionTable<BottleneckOptions>,
): MethodFactory<MadXOptions> =>
  defineBottleneck<MadXOptions>({
    name,
    peftType,
    card: {
      ...card,
      about: `${card.about}, and an invertible one at the embedding`,
      paper: {
        authors: 'Pfeiffer et al.',
        year: 2020,
        title: 'MAD-X: An Adapter-Based Framework for Multi-Task Cross-Lingual Transfer',
        url: 'https://arxiv.org/abs/2005.00052',
      },
    },
    options: {
      ...table,
      invertibleReduction: positive('inv_adapter_reduction_factor', 2),
      invertHead: flag('invert_head', true),
    },
    placement: () => placement({} as never),
    reads: isInvertibleAt(place),
    computes: { inv_adapter: ['nice'] },
    fields: { inv_adapter: 'nice' },
    hubTable: 'adapterHubInvertible',
    fault: ({ activation }) =>
      activation === 'prelu' ? 'prelu has a slope of its own, for which the invertible adapter has no name' : null,
    around,
  });

/**
 * MAD-X's language adapter: the adapters of `pfeiffer`, and an invertible one (NICE) after the embedding, e ← A(e) of what the first layer reads, whose inverse
 * A⁻¹ stands before the head that shares the vocabulary. Default: f = ReLU, r = d / 16, the invertible one's halves of d / 4, as `seq_bn_inv`
 * of the adapters library, whose files it has; its `glow` does not run there, and is refused. Task adapters go on top: attach them later.
 * Does not merge. Pfeiffer et al., 2020. https://arxiv.org/abs/2005.00052
 */
export const madX: MethodFactory<MadXOptions> = withInvertible(
  'madX',
  'MAD_X',
  pfeifferKind,
  pfeifferPlace,
  bottleneckOptions({ reduction: 16, activation: 'relu', scale: 1, init: 'normal' }),
);

/** The same with the adapters of `houlsby`: `double_seq_bn_inv` of the adapters library. Pfeiffer et al., 2020. https://arxiv.org/abs/2005.00052 */
export const madXHoulsby: MethodFactory<MadXOptions> = withInvertible(
  'madXHoulsby',
  'MAD_X_HOULSBY',
  houlsbyKind,
  houlsbyPlace,
  bottleneckOptions({ reduction: 16, activation: 'silu', scale: 1, init: 'normal' }),
);
