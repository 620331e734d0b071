import type { AdapterLayout } from '@peftjs/io';
import { isObject, type JsonObject } from '@peftjs/io';
import { type OnExecutor, PeftError } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import type { AdapterConfig, Compacted, Method, MethodFormat, MethodPart, State } from './method.ts';
import { mergePatches } from './patch.ts';
import { prepare } from './prepare.ts';
import { areApart, joined, methodOf, type Settled } from './settled.ts';
import { readWhere, savedWhere, sight, type Where } from './sight.ts';
import { lowestRates } from './starting-rate.ts';
import { tensorNames } from './view.ts';

/** A method in a part of the model: some layers, some paths, or both; all of it where neither is said. */
export interface CombinedPart extends Where {
  readonly method: Method;
  /**
   * The name of its tensors' group and of its folder: letters, digits, `_` and `-`. Default: the method's with its number among the parts,
   * `lora1`.
   */
  readonly name?: string;
}

/** How methods are combined. */
export interface CombineOptions {
  /**
   * Whose files the combination has. `peft` (default): Hugging Face PEFT's wherever it can say the same. `adapter-hub`: those of
   * adapter-hub/adapters, a union of methods of that layout, whose tensors keep their names, so that no two may make the same.
   */
  readonly layout?: AdapterLayout;
}

/** `peft_type` of several methods in one file, where no library has a layout for them: `methods` holds the configuration of each. */
const ownType = 'PEFTJS_COMBINATION';

/** A part with its name. */
type Named = CombinedPart & { readonly name: string };

/** A part in a model. */
interface Placed extends Named, MethodPart {
  readonly settled: Settled | null;
}

/** A combination's parts and options; `saved`: as a file says it, which is as simple as it gets. */
interface Made {
  readonly parts: readonly Named[];
  readonly options: CombineOptions;
  readonly saved: boolean;
}

/**
 * The parts in a model. In PEFT's layout layers that a part names are named one by one, so that nothing else need be known of it, and
 * neighbours that one method can do are that method.
 */
const placed = ({ parts, options, saved }: Made, model: Model): readonly Placed[] => {
  const all: Omit<Placed, 'prefix'>[] = [];
  for (const part of parts) {
    const view = sight(model, part);
    const settled = options.layout === 'adapter-hub' ? null : (part.method.settled?.(view) ?? null);
    const last = all.at(-1);
    const both = !saved && settled && last?.settled && joined(last.settled, settled);
    if (both) all[all.length - 1] = { name: last!.name, method: methodOf(both), view: model, settled: both };
    else if (settled && view !== model) all.push({ name: part.name, method: methodOf(settled), view: model, settled });
    else all.push({ ...part, view, settled });
  }
  const plain = all.length === 1 || options.layout === 'adapter-hub';
  return all.map((part) => ({ ...part, prefix: plain ? '' : `${part.name}.` }));
};

/** Whether Hugging Face PEFT's mixed models compute the same, each part an adapter of its own. */
const mixes = (all: readonly Placed[]): boolean =>
  all.every(
    ({ settled }, i) =>
      settled?.mixes === 'anywhere' ||
      (settled?.mixes === 'apart' &&
        all.every((other, j) => i === j || (other.settled !== null && areApart(settled, other.settled)))),
  );

/** The single methods that one is made of. */
export const singlesIn = (model: Model, method: Method): readonly Method[] =>
  method.parts?.(model).flatMap((part) => singlesIn(part.view, part.method)) ?? [method];

/** The part of a state whose names begin so, under the names without that. */
export const stateUnder = (state: State, prefix: string): State =>
  new Map([...state].flatMap(([name, t]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), t]] : [])));

/** Refuses tensors of one name that two parts make, where names keep nothing of the part. */
const requireApart = (all: readonly Placed[]): void => {
  const makers = new Map<string, string>();
  for (const { name, view, method } of all)
    for (const tensor of tensorNames(view, method)) {
      const first = makers.get(tensor);
      if (first !== undefined)
        throw new PeftError(
          'bad-option',
          `combine: ${first} and ${name} both make the tensor ${tensor}; leave out one of them, or use the layout peft, which has names for both`,
        );
      makers.set(tensor, name);
    }
};

/** Each part's tensors in their final form. */
const compacted = async (made: Made, model: Model, state: State, on: OnExecutor): Promise<Compacted> => {
  const parts: Named[] = [];
  const final = new Map<string, State extends ReadonlyMap<string, infer T> ? T : never>();
  for (const { prefix, view, settled: _, ...part } of placed(made, model)) {
    const names = made.options.layout === 'adapter-hub' ? tensorNames(view, part.method) : null;
    const own = names ? new Map([...state].filter(([name]) => names.has(name))) : stateUnder(state, prefix);
    const last = (await part.method.compact?.(view, own, on)) ?? { method: part.method, state: own };
    parts.push({ ...part, method: last.method });
    for (const [name, t] of last.state) final.set(prefix + name, t);
  }
  return { method: make({ ...made, parts, saved: true }), state: final };
};

const configOf = (made: Made, model: Model): AdapterConfig => {
  const all = placed(made, model);
  const configs = all.map(({ method, view }) => method.config(view));
  if (made.options.layout === 'adapter-hub') return { peft_type: ownType, architecture: 'union', configs };
  if (all.length === 1 && all[0]!.view === model) return configs[0]!;
  return {
    peft_type: ownType,
    ...(mixes(all) && { mixed: true }),
    methods: all.map((part, i) => ({ name: part.name, ...savedWhere(model, part), method: configs[i]! })),
  };
};

const make = (made: Made): Method => {
  const { parts, options } = made;
  const methods = parts.map(({ method }) => method);
  if (methods.length === 1 && !options.layout && isWhole(parts[0]!)) return methods[0]!;
  const isHub = options.layout === 'adapter-hub';
  return {
    name: methods.map((m) => m.name).join(' + ') || 'nothing',
    ...(isHub && { layout: 'adapter-hub' }),
    ...lowestRates(methods),
    ...((isHub || methods.length === 1) && { keys: Object.assign({}, ...methods.map((m) => m.keys)) }),
    ...(isHub && { aliases: Object.assign({}, ...methods.map((m) => m.aliases)) }),
    merges: methods.every((m) => m.merges),
    ...(!isHub && { parts: (model: Model) => placed(made, model) }),
    settled: (part) => {
      const [only, ...more] = placed(made, part);
      return more.length === 0 && only ? only.settled : null;
    },
    attach: (model, scope) => {
      const all = placed(made, model);
      if (isHub) requireApart(all);
      return mergePatches(
        all.map(({ name, prefix, method, view }) => method.attach(view, prefix ? scope.at(name) : scope)),
      );
    },
    config: (model) => configOf(made, model),
    ...(methods.every((m) => !m.prepare || m.needsData === false) && { needsData: false }),
    ...(methods.some((m) => m.prepare) && {
      prepare: async (model, look) => {
        const ready: Named[] = [];
        for (const part of parts) {
          const [method] = await prepare(sight(model, part), [part.method], look);
          ready.push({ ...part, method: method! });
        }
        return make({ ...made, parts: ready });
      },
    }),
    ...(methods.some((m) => m.compact) && {
      compact: (model, state, on) => compacted(made, model, state, on),
    }),
  };
};

const isWhole = ({ layers, target }: Where): boolean => layers === undefined && target === undefined;

const isMethod = (part: Method | CombinedPart): part is Method => 'attach' in part;

const named = (parts: readonly (Method | CombinedPart)[]): Named[] =>
  parts.map((part, i) => {
    const own = isMethod(part) ? { method: part } : part;
    return { name: `${own.method.name.replace(/[^A-Za-z0-9]+/g, '_').slice(0, 60)}${i + 1}`, ...own };
  });

/** All that is wrong with parts. */
const problemsOf = (given: readonly (Method | CombinedPart)[], { layout }: CombineOptions): string[] => {
  const parts = named(given);
  const names = parts.map(({ name }) => name);
  const odd = names.filter((name) => !/^[A-Za-z0-9_-]{1,64}$/.test(name));
  const twice = names.filter((name, i) => names.indexOf(name) !== i);
  const others = layout === 'adapter-hub' ? parts.filter(({ method }) => method.layout !== 'adapter-hub') : [];
  const narrow = layout === 'adapter-hub' ? parts.filter((part) => !isWhole(part)) : [];
  return [
    ...odd.map((name) => `${JSON.stringify(name)} is no name of a part; letters, digits, _ and - are`),
    ...twice.map((name) => `two parts are called ${name}`),
    ...others.map(({ name }) => `${name} has no files in the layout adapter-hub; combine them in the layout peft`),
    ...narrow.map(({ name }) => `${name} is in a part of the model, which the layout adapter-hub cannot say`),
  ];
};

/**
 * Several methods as one, later ones around earlier ones, each in the whole model or in a part of it:
 * `combine([{ method: lora(), layers: [0, 1] }, { method: ia3(), target: 'model.layers.2' }])`. Combinations nest.
 *
 * Files are Hugging Face PEFT's where that library can say the same. Methods of one kind in layers of their own, that differ in ranks and
 * alphas, are one method with patterns. LoRA's kind, also in the same layers, are adapters in folders of their own, which its mixed models
 * load. All else is one file with a type of our own, in which the names of a part's tensors begin with the part's.
 *
 * One method alone, in the whole model, stays as it is. Throws `bad-option`; when attached `no-match` for a part that the model has not.
 */
export const combine: ((methods: readonly (Method | CombinedPart)[], options?: CombineOptions) => Method) &
  Pick<MethodFormat, 'reads' | 'fromConfig'> = Object.assign(
  (methods: readonly (Method | CombinedPart)[], options: CombineOptions = {}): Method => {
    const problems = problemsOf(methods, options);
    if (problems.length > 0) throw new PeftError('bad-option', `combine: ${problems.join('; ')}`);
    return make({ parts: named(methods), options, saved: false });
  },
  {
    reads: ({ peft_type, architecture }: AdapterConfig) =>
      peft_type === ownType || (peft_type === undefined && architecture === 'union'),
    fromConfig: (config: AdapterConfig, build: (config: AdapterConfig) => Method): Method => {
      const isUnion = config['architecture'] === 'union';
      const list = isUnion ? config['configs'] : config['methods'];
      if (!Array.isArray(list) || list.length === 0 || !list.every(isObject))
        throw new PeftError('bad-adapter', 'adapter_config.json of several methods must list them');
      const parts = (list as readonly AdapterConfig[]).map((own): Method | CombinedPart =>
        isUnion
          ? build(own)
          : {
              ...readWhere(own as JsonObject),
              name: String(own['name']),
              method: build(own['method'] as AdapterConfig),
            },
      );
      const options: CombineOptions = isUnion ? { layout: 'adapter-hub' } : {};
      const problems = problemsOf(parts, options);
      if (problems.length > 0) throw new PeftError('bad-adapter', `adapter_config.json: ${problems.join('; ')}`);
      return make({ parts: named(parts), options, saved: true });
    },
  },
);
