import {
  type Chosen,
  defineMethod,
  type JsonObject,
  type MethodCard,
  type MethodFactory,
  type MiddlewareTable,
  type OptionTable,
  type Scope,
} from '@peftjs/core';
import { add, PeftError, type Tensor } from '@peftjs/tensor';
import type { Around, Call, Model, Path } from '@peftjs/transformer';
import { type BottleneckInit, type BottleneckShape, bottleneck } from './bottleneck.ts';
import { type BottleneckOptions, reductionOf, widthOf } from './options.ts';

/** The sublayers that an adapter may follow, with the adapters library's name of it there. */
const modules = { attn: 'attention_adapters', mlp: 'output_adapters' } as const;

/** The input of an adapter, made of a sublayer's output and the residual stream that this is added to; all [batch, tokens, d]. */
export type Reads = (output: Tensor, stream: Tensor) => Tensor;

/** The marks that tell one kind of bottleneck adapter from another. */
export interface BottleneckKind {
  readonly name: string;
  readonly peftType: string;
  readonly card: MethodCard;
  readonly options: OptionTable<BottleneckOptions>;
  readonly sites: readonly (keyof typeof modules)[];
  readonly reads: Reads;
  readonly init: BottleneckInit;
  /** Fields of the adapters library's configuration that are this kind; false where absent. */
  readonly fields: Readonly<Record<string, boolean>>;
  /** Name there of the first values. */
  readonly initName: string;
}

/** Fields that change the function, with the only values that are computed here. */
const computes = {
  original_ln_after: [true],
  residual_before_ln: [true],
  ln_before: [false],
  ln_after: [false],
  adapter_residual_before_ln: [false],
  cross_adapter: [false],
  phm_layer: [false],
  inv_adapter: [],
  stochastic_depth: [0],
};

/** The shape of an adapter with these options in a model. */
export const shapeOf = ({ main: { hiddenSize } }: Model, options: Chosen<BottleneckOptions>): BottleneckShape => ({
  ...options,
  hiddenSize,
  width: widthOf(hiddenSize, options),
});

/** The module of the adapters library that an adapter after a sublayer is in. */
const moduleOf = (site: keyof typeof modules, path: Path): Path =>
  `${path.slice(0, path.lastIndexOf('.'))}.${modules[site]}`;

/** The number of the layer that a path lies in: a decoder's go on where its encoder's end. */
const layerOf = ({ towers }: Model, path: Path): number =>
  towers.flatMap((tower) => tower.paths('block')).findIndex((block) => path.startsWith(`${block}.`));

/** Middleware after each of some sublayers, but for the layers that are left out. Throws `no-match` where none is left. */
export const afterSublayers = (
  model: Model,
  scope: Scope,
  { name, sites }: Pick<BottleneckKind, 'name' | 'sites'>,
  leaveOut: readonly number[],
  make: (own: Scope, module: Path) => (output: Tensor, stream: Tensor, call: Call) => Tensor,
): MiddlewareTable => {
  const table = sites.map((site) => {
    const kept = model.paths(site).filter((path) => !leaveOut.includes(layerOf(model, path)));
    if (kept.length === 0) throw new PeftError('no-match', `${name}: no layer is left that could have an adapter`);
    const arounds = kept.map((path): [Path, Around<'attn' | 'mlp'>] => {
      const module = moduleOf(site, path);
      const after = make(scope.at(module), module);
      return [path, (x, next, call) => after(next(x), call.stream!, call)];
    });
    return [site, new Map(arounds)] as const;
  });
  return Object.fromEntries(table);
};

/** A bottleneck adapter as a method, with the files of the adapters library. */
export const defineBottleneck = (kind: BottleneckKind): MethodFactory<BottleneckOptions> => {
  const { name, peftType, card, options, reads, init, fields, initName } = kind;
  return defineMethod<BottleneckOptions>({
    name,
    formula: {
      merges: false,
      options,
      check: ({ reduction, bottleneck: width }) =>
        reduction !== undefined && width !== undefined ? 'give either reduction or bottleneck, not both' : null,
      attach: (model, scope, chosen) => ({
        around: afterSublayers(model, scope, kind, chosen.leaveOut, (own) => {
          const { apply } = bottleneck(own.at('adapters.default'), shapeOf(model, chosen), init);
          return (output, stream, call) => add(output, apply(reads(output, stream), call));
        }),
      }),
    },
    files: {
      peftType,
      layout: 'adapter-hub',
      // Their defaults are not ours, so what says nothing of its scale is none of these.
      reads: (config) =>
        'scaling' in config && Object.entries(fields).every(([field, value]) => (config[field] ?? false) === value),
      computes,
      config: (model, chosen): JsonObject => ({
        ...fields,
        original_ln_after: true,
        residual_before_ln: true,
        init_weights: initName,
        ...(chosen.bottleneck && { reduction_factor: reductionOf(model.main.hiddenSize, chosen.bottleneck) }),
      }),
    },
    card,
  });
};
