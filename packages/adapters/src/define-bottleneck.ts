import {
  type AdapterConfig,
  type Chosen,
  defineMethod,
  type JsonObject,
  type JsonValue,
  layerOf,
  layersKept,
  type MethodCard,
  type MethodFactory,
  type MiddlewareTable,
  type OptionTable,
  type Scope,
} from '@peftjs/core';
import { floor, lessEqual, mul, PeftError, select, type Tensor } from '@peftjs/tensor';
import type { Around, Call, Model, Path } from '@peftjs/transformer';
import { type BottleneckShape, bottleneck, type Project } from './bottleneck.ts';
import { type BottleneckOptions, reductionOf, widthOf } from './options.ts';
import { adapted, type Placement, placementFields, placementIn, type Sublayer, samePlace } from './placement.ts';

/** The adapters library's names of an adapter's module, within the one that the sublayer is in; of some models there are others. */
const usual = ['attention_adapters', 'output_adapters'];

/** Options that all kinds have. */
export type SharedOptions = Omit<BottleneckOptions, 'init'>;

/** The marks that tell one kind of bottleneck adapter from another. */
export interface BottleneckKind<O extends SharedOptions = BottleneckOptions> {
  readonly name: string;
  readonly peftType: string;
  readonly card: MethodCard;
  readonly options: OptionTable<O>;
  placement(chosen: Chosen<O>): Placement;
  /** Whether it is that of a configuration, once that is a bottleneck's. */
  reads(config: AdapterConfig): boolean;
  /** Its projections in a model. Default: matrices. */
  project?(model: Model, scope: Scope, chosen: Chosen<O>): Project;
  /** Middleware elsewhere. */
  around?(model: Model, scope: Scope, chosen: Chosen<O>): MiddlewareTable;
  /** The fault of options that are sound one by one; null when there is none. */
  fault?(given: Partial<Chosen<O>>): string | null;
  /** Further fields that change the function, with the only values that are computed here. */
  readonly computes?: Readonly<Record<string, readonly JsonValue[]>>;
  /** Further fields of its files. */
  readonly fields?: JsonObject;
  /** See `Method.hubTable`. Default: the table of the modules that bottlenecks are in. */
  readonly hubTable?: string;
}

/** Whether a configuration's adapters are placed so, of matrices and without an invertible one. */
export const isAt =
  (at: Placement) =>
  (config: AdapterConfig): boolean =>
    config['phm_layer'] !== true && !config['inv_adapter'] && samePlace(placementIn(config), at);

/** Fields that change the function, with the only values that are computed here. */
const computes = {
  cross_adapter: [false],
  phm_layer: [false],
  inv_adapter: [],
};

/** The shape of an adapter with these options in its place. */
export const shapeOf = (
  { hiddenSize, layer }: Pick<AdapterPlace, 'hiddenSize' | 'layer'>,
  options: Chosen<BottleneckOptions>,
): BottleneckShape => ({
  ...options,
  hiddenSize,
  width: widthOf(hiddenSize, options, layer),
});

/** The module of the adapters library that an adapter after a sublayer is in. */
const moduleOf = ({ layout }: Model, site: Sublayer, path: Path): Path => {
  const [attn, mlp] = layout.defaultTarget('adapterHubModules') ?? usual;
  const own = site === 'attn' ? attn! : mlp!;
  const home = path.slice(0, path.lastIndexOf('.'));
  return own === '' ? home : `${home}.${own}`;
};

/** The place of one adapter. */
export interface AdapterPlace {
  /** The library's module that it is in. */
  readonly module: Path;
  readonly layer: number;
  /** Width d of the stream there. */
  readonly hiddenSize: number;
}

/** Middleware after each of some sublayers, but for the layers that are left out. Throws `no-match` where none is left. */
export const afterSublayers = (
  model: Model,
  scope: Scope,
  { name, sublayers, leaveOut }: Pick<Placement, 'sublayers'> & { name: string; leaveOut: readonly number[] },
  make: (own: Scope, place: AdapterPlace) => (output: Tensor, stream: Tensor, call: Call) => Tensor,
): MiddlewareTable => {
  const table = sublayers.map((site) => {
    const kept = layersKept(model, model.paths(site), leaveOut);
    if (kept.length === 0) throw new PeftError('no-match', `${name}: no layer is left that could have an adapter`);
    const arounds = kept.map((path): [Path, Around<Sublayer>] => {
      const module = moduleOf(model, site, path);
      const after = make(scope.at(module), { module, layer: layerOf(model, path), hiddenSize: model.widthAt(path) });
      return [path, (x, next, call) => after(next(x), call.stream!, call)];
    });
    return [site, new Map(arounds)] as const;
  });
  return Object.fromEntries(table);
};

/** The number of first layers that have no adapter in a training step, the same for all; null where none is dropped. */
const firstDropped = ({ draw }: Scope, most: number): Tensor | null =>
  draw && most > 0 ? floor(mul(draw([1]), most + 1)) : null;

/** The fault of options that are sound one by one. */
export const faultOf = (
  {
    reduction,
    bottleneck: width,
    stochasticDepth,
    lnAfter,
    adapterResidualBeforeLn,
  }: Partial<Chosen<BottleneckOptions>>,
  parallel: boolean,
): string | null => {
  if (reduction !== undefined && width !== undefined) return 'give either reduction or bottleneck, not both';
  if (parallel && stochasticDepth) return 'stochasticDepth is not for adapters beside a sublayer; use dropout';
  if (adapterResidualBeforeLn && (parallel || !lnAfter))
    return 'adapterResidualBeforeLn is about lnAfter of adapters that follow a sublayer; give lnAfter: true, or leave it out';
  return null;
};

/** The name of an adapter's scope in its place. */
export const adapterName = 'adapters.default';

/** Bottleneck adapters in their places. `project` gives the projections of one; matrices where it gives none. */
export const attachBottlenecks = (
  name: string,
  model: Model,
  scope: Scope,
  chosen: Chosen<BottleneckOptions>,
  at: Placement,
  project: (place: AdapterPlace) => Project | undefined,
): MiddlewareTable => {
  if (!at.originalLnAfter && model.towers.some(({ normsSums }) => normsSums))
    throw new PeftError(
      'bad-option',
      `${name}: its place (originalLnAfter: false) leaves out the norms behind the sublayers of ${model.layout.modelType}, which is not done here; use houlsby, pfeiffer or bottleneckAdapter`,
    );
  const dropped = firstDropped(scope, chosen.dropLayers);
  return afterSublayers(model, scope, { name, ...at, leaveOut: chosen.leaveOut }, (own, place) => {
    const adapter = bottleneck(own.at(adapterName), shapeOf(place, chosen), project(place));
    return (y, h, call) => {
      const changed = adapted(at, adapter, chosen, [y, h], call);
      return dropped ? select(lessEqual(dropped, place.layer), changed, y) : changed;
    };
  });
};

/** The reduction that gives a width in all layers: by layer where these are of unlike width themselves. */
const reductionsOf = (model: Model, width: number): JsonValue => {
  const all = model.towers.flatMap((tower) => tower.paths('block')).map((path) => model.widthAt(path));
  return all.every((d) => d === model.main.hiddenSize)
    ? reductionOf(model.main.hiddenSize, width)
    : Object.fromEntries(all.map((d, layer) => [layer, reductionOf(d, width)]));
};

/** Fields of a configuration that say where the adapters are, and how wide. */
export const shapeFields = (
  model: Model,
  at: Placement,
  { bottleneck: width }: Pick<Chosen<BottleneckOptions>, 'bottleneck'>,
): JsonObject => ({
  ...placementFields(at),
  ...(width && { reduction_factor: reductionsOf(model, width) }),
});

/** A bottleneck adapter as a method, with the files of the adapters library. */
export const defineBottleneck = <O extends SharedOptions>(kind: BottleneckKind<O>): MethodFactory<O> => {
  const { name, peftType, card, options, placement, reads, project } = kind;
  return defineMethod<O>({
    name,
    formula: {
      merges: false,
      options,
      check: (given) => faultOf(given, placement(given as Chosen<O>).parallel) ?? kind.fault?.(given) ?? null,
      attach: (model, scope, all) => {
        const chosen: Chosen<BottleneckOptions> = { init: 'normal', ...(all as Chosen<SharedOptions>) };
        const made = project?.(model, scope, all);
        const own = attachBottlenecks(name, model, scope, chosen, placement(all), () => made);
        return { around: { ...kind.around?.(model, scope, all), ...own } };
      },
    },
    files: {
      peftType,
      layout: 'adapter-hub',
      hubTable: kind.hubTable ?? 'adapterHubModules',
      // Their defaults are not ours, so what says nothing of its scale is none of these.
      reads: (config) => 'scaling' in config && reads(config),
      computes: { ...computes, ...kind.computes },
      aliases,
      config: (model, chosen) => ({ ...shapeFields(model, placement(chosen), chosen), ...kind.fields }),
    },
    card,
  });
};

/** The library's module has its norm and its nonlinearity twice. */
const aliases: Readonly<Record<string, string>> = {
  'adapter_down.0.weight': 'adapter_norm_before.weight',
  'adapter_down.0.bias': 'adapter_norm_before.bias',
  'adapter_down.1.f.weight': 'non_linearity.f.weight',
  'adapter_down.2.f.weight': 'non_linearity.f.weight',
};
