import {
  checkOptions,
  type OnExecutor,
  onExecutor,
  PeftError,
  type Tensor,
  type Variable,
  variable,
} from '@peftjs/tensor';
import {
  type Around,
  type AroundTable,
  type KeyValue,
  type Linear,
  type Model,
  type ModelPatch,
  type Path,
  runAround,
  streamSites,
} from '@peftjs/transformer';
import type { Adapted } from './attach.ts';
import { type MixedSite, once } from './once.ts';
import { ofAny, rowwise } from './rowwise.ts';

/** A view whose rows use adapters of their own. */
export interface MixedBatch<M extends Model> {
  /** Takes batches of exactly `rows` sequences. */
  readonly model: M;
  readonly rows: number;
  /** Which adapter each row uses, by its number in the list; null for the base alone. No program is compiled for it. Throws `bad-option`. */
  assign(adapters: readonly (number | null)[], options: OnExecutor): Promise<void>;
}

const changedPaths = <T>(adapters: readonly Adapted<Model>[], of: (model: Model) => ReadonlyMap<Path, T>): Path[] => [
  ...new Set(
    adapters.flatMap(({ base, model }) => [...of(model).keys()].filter((p) => of(model).get(p) !== of(base).get(p))),
  ),
];

const mixedLinear = (path: Path, base: Linear, layers: readonly Linear[], row: Tensor): Linear => ({
  ...base,
  acrossRows: [base, ...layers].some((layer) => layer.acrossRows),
  apply: (x, call) =>
    rowwise(
      path,
      row,
      base.apply(x, call),
      layers.map((layer) => (layer === base ? null : layer.apply(x, call))),
    ),
  dense: () => {
    throw new PeftError('not-mergeable', `mixBatch: ${path} is another layer in each row; merge one adapter instead`);
  },
});

/** The change of an adapter at a site, around the base: its middleware, and the part that it put in place there. */
const partAt = <S extends MixedSite>({ base, model, patch }: Adapted<Model>, site: S, path: Path): Around<S> | null => {
  const fn = patch.around?.[site]?.get(path) as Around<S> | undefined;
  const parts = site === 'norm' ? 'norms' : 'embeddings';
  const own = site === 'norm' || site === 'embed' ? model[parts].get(path) : undefined;
  if (!own || own === base[parts].get(path)) return fn ?? null;
  const chain = (base.around[site]?.get(path) ?? []) as readonly Around<S>[];
  return (x, _, call) => {
    const inner = runAround(chain, ((y: Tensor) => own.apply(y, call)) as never, call);
    return fn ? fn(x, inner, call) : inner(x);
  };
};

const rowSites: readonly MixedSite[] = ['embed', ...streamSites, 'heads', 'kv', 'crossKv'];

const mixedAround = (adapters: readonly Adapted<Model>[], row: Tensor): AroundTable => {
  const at = <S extends MixedSite>(site: S): ReadonlyMap<Path, readonly Around<S>[]> => {
    const table = new Map<Path, readonly Around<S>[]>();
    for (const path of adapters[0]!.base.paths(site)) {
      const fns = adapters.map((adapter) => partAt(adapter, site, path));
      if (fns.every((fn) => fn === null)) continue;
      const mixed: Around<S> = (x, next, call) => {
        const core = once('mixBatch', site, path, next);
        return rowwise<Tensor | KeyValue>(
          path,
          row,
          core(x),
          fns.map((fn) => (fn ? fn(x, core, call) : null)),
        );
      };
      table.set(path, [mixed]);
    }
    return table;
  };
  return Object.fromEntries(rowSites.map((site) => [site, at(site)])) as AroundTable;
};

/** Rows in front are there where the row's adapter puts them; all that do must shift positions alike. */
const fronts = (adapters: readonly Adapted<Model>[], row: Tensor): Pick<ModelPatch, 'present' | 'positionShift'> => {
  const having = adapters.flatMap(({ patch }, i) =>
    patch.around?.embed?.size || patch.around?.kv?.size || patch.positionShift ? [i] : [],
  );
  const shifts = new Set(having.map((i) => adapters[i]!.patch.positionShift ?? 0));
  if (shifts.size > 1)
    throw new PeftError(
      'bad-option',
      `mixBatch: the adapters move positions by ${[...shifts].join(', ')}; in one batch they must agree`,
    );
  return having.length > 0 ? { present: ofAny(row, having), positionShift: [...shifts][0]! } : {};
};

const check = (adapters: readonly Adapted<Model>[], rows: number): void => {
  const problems = [
    ...(adapters.length > 0 ? [] : ['at least one adapter is needed']),
    ...(adapters.every((a) => a.base === adapters[0]!.base) ? [] : ['all adapters must be attached to the same base']),
    ...(Number.isSafeInteger(rows) && rows > 0 ? [] : [`rows must be a whole number of at least 1, got ${rows}`]),
  ];
  const tables = adapters.flatMap(({ base, model }) => {
    const tokens = base.main.tokenTable;
    return [...model.embeddings.keys()].filter(
      (p) => p !== tokens && model.embeddings.get(p) !== base.embeddings.get(p),
    );
  });
  if (adapters.some(({ patch }) => patch.around?.model?.size))
    problems.push('an adapter goes through the whole pass as it likes, which rows cannot do apart');
  const [routed] = changedPaths(adapters, (m) => m.experts);
  if (routed !== undefined) problems.push(`an adapter changes the experts ${routed}, whose rows are of all texts`);
  if (tables.length > 0) problems.push(`the position table ${tables[0]} is one for all rows, an adapter changes it`);
  if (problems.length > 0) throw new PeftError('bad-option', `mixBatch: ${problems.join('; ')}`);
};

const assigner =
  (assignment: Variable, adapters: number): MixedBatch<Model>['assign'] =>
  async (chosen, options) => {
    checkOptions('assign', onExecutor, options);
    const [rows] = assignment.shape as readonly [number];
    const odd = chosen.filter((i) => i !== null && !(Number.isSafeInteger(i) && i >= 0 && i < adapters));
    if (chosen.length !== rows || odd.length > 0)
      throw new PeftError(
        'bad-option',
        `mixBatch: ${rows} entries from 0 to ${adapters - 1} or null are needed, got [${chosen.join(', ')}]`,
      );
    await options.executor.write(
      assignment,
      Int32Array.from(chosen, (i) => i ?? -1),
    );
  };

/**
 * Several adapters in one batch: each row of the view's batches uses the adapter that `assign` chose for it, or none, in one compiled
 * program, for evaluation and generation alike. The base's products are made once for all rows, each adapter's part for all rows, and then
 * chosen by row, so a row gives what its adapter alone gives. The adapters may be of different methods; those that put rows in front must
 * put as many. Until the first `assign` every row uses the base. Throws `bad-option`.
 */
export const mixBatch = <M extends Model>(adapters: readonly Adapted<M>[], rows: number): MixedBatch<M> => {
  check(adapters, rows);
  const { base } = adapters[0]!;
  const assignment = variable('mixed_batch.adapter', [rows], new Int32Array(rows).fill(-1), 'i32');
  const mixed = (path: Path): Linear =>
    mixedLinear(
      path,
      base.linears.get(path)!,
      adapters.map((a) => a.model.linears.get(path)!),
      assignment,
    );
  const model = base.with({
    linears: new Map(changedPaths(adapters, (m) => m.linears).map((path) => [path, mixed(path)])),
    around: mixedAround(adapters, assignment),
    ...fronts(adapters, assignment),
    batchSize: rows,
  });
  return {
    model,
    rows,
    assign: assigner(assignment, adapters.length),
  };
};
