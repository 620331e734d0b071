import { bfloat16ToFloat32, float32ToBfloat16, float32ToHalf, halfToFloat32 } from '@peftjs/io';
import {
  checkOptions,
  type Executor,
  evaluate,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type Rules,
  type Tensor,
  type Variable,
  variable,
} from '@peftjs/tensor';
import {
  type CausalLM,
  type Dense,
  denseLinear,
  type Embedding,
  type Experts,
  isDenseLinear,
  type Linear,
  type Model,
  type ModelPatch,
  type Norm,
  type Path,
} from '@peftjs/transformer';
import type { Adapted } from './attach.ts';
import { singlesIn } from './combine.ts';
import { notFinite } from './finite.ts';
import { requireAdapted } from './require-adapted.ts';

/** A format that looks at the whole model before it stores layers, as one that is fitted to data does: `inGptq({ data })` of `@peftjs/quant`. */
export interface ModelFormat {
  /** The model with the layers of these paths stored; it has them as floats. */
  store<M extends Model>(model: M, paths: readonly Path[], options: OnExecutor): Promise<M>;
}

/** The executor that `merge` computes on, and how it stores the result. */
export interface MergeOptions extends OnExecutor {
  /**
   * `base` (default): each layer in its own format, a quantised one quantised anew. `dense`: changed layers as plain floats, without that error. A function: changed layers as it makes them of their
   * values, `inFormat(nf4())` of `@peftjs/quant` in that format. `inGptq({ data })`, `inAwq(int4(), { data })`: fitted to what the merged model makes of data.
   */
  readonly format?: 'base' | 'dense' | ((path: Path, values: Dense) => Linear) | ModelFormat;
  /** The precision that plain layers will be saved in (`saveModel`'s `dtype`): their error is measured too. Default `f32`: none. */
  readonly storedAs?: 'f32' | 'f16' | 'bf16';
}

const isModelFormat = (v: unknown): v is ModelFormat =>
  typeof v === 'object' && v !== null && typeof (v as Partial<ModelFormat>).store === 'function';

const mergeRules: Rules<MergeOptions> = {
  ...onExecutor,
  format: mustBe.such(
    'base, dense, a function, as inFormat(nf4()) is, or a format of the whole model, as inGptq({ data }) is',
    (v) => v === 'base' || v === 'dense' || typeof v === 'function' || isModelFormat(v),
  ),
  storedAs: mustBe.oneOf(['f32', 'f16', 'bf16']),
};

/** A model with an adapter folded in. */
export interface Merged<M extends Model = CausalLM> {
  readonly model: M;
  /**
   * The cost of storing the merged values, by layer, relative to the change: ‖stored − exact‖ / ‖exact − base‖ (Frobenius). Of layers that do
   * not hold their values as they are; of all that changed where `storedAs` rounds them. At 1 the error is as large as what was learnt;
   * Infinity where there is an error and no change.
   */
  readonly errors: ReadonlyMap<Path, number>;
  /** Layers whose error is at least half of the change: storing undoes much of what was learnt. Empty where all is well. */
  readonly undone: readonly Path[];
}

/** Values computed now, as variables with the names of the tensors they stand for. */
const frozen = async (
  path: Path,
  values: Readonly<Record<string, Tensor | null>>,
  executor: Executor,
): Promise<Record<string, Variable>> => {
  const given = Object.entries(values).filter((e): e is [string, Tensor] => e[1] !== null);
  const data = await evaluate(Object.fromEntries(given), { executor });
  for (const [name] of given) {
    const bad = notFinite(data[name]!);
    if (bad)
      throw new PeftError(
        'bad-data',
        `merge: ${path}.${name} holds ${bad} once merged; the adapter or the base is not finite there, so its training diverged or its file is damaged`,
      );
  }
  return Object.fromEntries(given.map(([name, t]) => [name, variable(`${path}.${name}`, t.shape, data[name]!)]));
};

const rounded: { readonly [D in 'f16' | 'bf16']: (values: Float32Array) => Float32Array } = {
  f16: (values) => halfToFloat32(float32ToHalf(values)),
  bf16: (values) => bfloat16ToFloat32(float32ToBfloat16(values)),
};

/** A way to store layer by layer. */
type LayerFormat = Exclude<NonNullable<MergeOptions['format']>, ModelFormat>;

const storedIn = (format: LayerFormat, path: Path, exact: Dense, base: Model): Linear => {
  if (format === 'dense') return denseLinear(exact);
  return typeof format === 'function' ? format(path, exact) : base.linears.get(path)!.encode(exact);
};

/** ‖stored − exact‖ / ‖exact − base‖ */
const errorOf = (stored: ArrayLike<number>, exact: ArrayLike<number>, base: ArrayLike<number>): number => {
  let [error, change] = [0, 0];
  for (let i = 0; i < exact.length; i++) {
    error += (stored[i]! - exact[i]!) ** 2;
    change += (exact[i]! - base[i]!) ** 2;
  }
  return error === 0 ? 0 : Math.sqrt(error / change);
};

const valuesOf = async (t: Tensor, executor: Executor): Promise<Float32Array> =>
  (await evaluate({ values: t }, { executor }))['values'] as Float32Array;

const changed = <T>(now: ReadonlyMap<Path, T>, before: ReadonlyMap<Path, T>): [Path, T][] =>
  [...now].filter(([path, part]) => part !== before.get(path));

/** All that changed beside linear layers, encoded as the base has it. */
const mergedRest = async (base: Model, model: Model, executor: Executor): Promise<ModelPatch> => {
  const norms = new Map<Path, Norm>();
  for (const [path, norm] of changed(model.norms, base.norms)) {
    const { weight, bias = null } = await frozen(path, { weight: norm.weight, bias: norm.bias }, executor);
    norms.set(path, base.norms.get(path)!.encode({ weight: weight!, bias }));
  }
  const embeddings = new Map<Path, Embedding>();
  for (const [path, embedding] of changed(model.embeddings, base.embeddings)) {
    const { weight } = await frozen(path, { weight: embedding.weight }, executor);
    embeddings.set(path, base.embeddings.get(path)!.encode(weight!));
  }
  const experts = new Map<Path, Experts>();
  for (const [path, own] of changed(model.experts, base.experts)) {
    const { weight } = await frozen(path, { weight: own.dense() }, executor);
    experts.set(path, base.experts.get(path)!.encode(weight!));
  }
  return { norms, embeddings, experts, reweighted: true };
};

/**
 * The base model with the adapter folded in: W' = `dense()` of each changed layer, computed now on `executor` and encoded in the layer's own
 * storage format. Inference then costs what the base costs. Throws `not-mergeable`, by name, when a method depends on its input; `bad-data`
 * for a layer whose values are not finite.
 */
export const merge = async <M extends Model>(adapted: Adapted<M>, options: MergeOptions): Promise<Merged<M>> => {
  requireAdapted('merge', adapted);
  checkOptions('merge', mergeRules, options);
  const { base, method, model } = adapted;
  const { executor, format = 'base', storedAs = 'f32' } = options;
  const refusing = singlesIn(base, method).filter((m) => !m.merges);
  if (refusing.length > 0)
    throw new PeftError(
      'not-mergeable',
      `merge: ${refusing.map((m) => m.name).join(', ')} does more than change weights; use the view as it is`,
    );
  const layers = changed(model.linears, base.linears);
  const exactOf = async (path: Path, layer: Linear): Promise<Dense> => {
    const { weight, bias = null } = await frozen(path, { ...layer.dense() }, executor);
    return { weight: weight!, bias };
  };
  const errors = new Map<Path, number>();
  const tellError = async (path: Path, exact: Dense, stored: Linear): Promise<void> => {
    const isPlain = isDenseLinear(stored);
    if (isPlain && storedAs === 'f32') return;
    const values = await valuesOf(exact.weight, executor);
    const kept =
      isPlain && storedAs !== 'f32' ? rounded[storedAs](values) : await valuesOf(stored.dense().weight, executor);
    errors.set(path, errorOf(kept, values, await valuesOf(base.linears.get(path)!.dense().weight, executor)));
  };
  /** All layers as floats first, which a format of the whole model looks at. */
  const together = async (whole: ModelFormat): Promise<M> => {
    const exact = new Map<Path, Dense>();
    for (const [path, layer] of layers) exact.set(path, await exactOf(path, layer));
    const linears = new Map([...exact].map(([path, values]) => [path, denseLinear(values)]));
    const floats = base.with({ ...(await mergedRest(base, model, executor)), linears });
    const stored = await whole.store(floats, [...exact.keys()], { executor });
    for (const [path, values] of exact) await tellError(path, values, stored.linears.get(path)!);
    return stored;
  };
  const oneByOne = async (how: LayerFormat): Promise<M> => {
    const linears = new Map<Path, Linear>();
    for (const [path, layer] of layers) {
      const exact = await exactOf(path, layer);
      const stored = storedIn(how, path, exact, base);
      await tellError(path, exact, stored);
      linears.set(path, stored);
    }
    return base.with({ ...(await mergedRest(base, model, executor)), linears });
  };
  const merged = isModelFormat(format) ? await together(format) : await oneByOne(format);
  const undone = [...errors].flatMap(([path, error]) => (error >= 0.5 ? [path] : []));
  return { model: merged, errors, undone };
};
