import { checkOptions, mustBe, PeftError, type Rules, type Tensor, type Variable } from '@peftjs/tensor';
import {
  type CausalLM,
  type Column,
  type Inputs,
  type Loss,
  type Model,
  type ModelPatch,
  type Pass,
  requireModel,
} from '@peftjs/transformer';
import { combine } from './combine.ts';
import type { GradientTransform, ParamHint } from './gradient-transform.ts';
import type { Decision, Method, Patch, State, TrainedStep } from './method.ts';
import { type LossOptions, lossRules, type Objective, supervised, type Views } from './objective.ts';
import { mergePatches } from './patch.ts';
import type { Projection } from './projection.ts';
import { startingRate } from './starting-rate.ts';
import { makeStore } from './store.ts';
import { type Chance, chanceOf, makeScope, viewOf } from './view.ts';
import { wholeLayers } from './whole-layers.ts';

/** A base model with methods attached: views of it, and the trained tensors. The base itself is never changed. */
export interface Adapted<M extends Model = CausalLM> {
  readonly base: M;
  readonly methods: readonly Method[];
  /** All of them as one. */
  readonly method: Method;
  /** Its changes, of the view for evaluation. */
  readonly patch: Patch;
  /** The view for evaluation and generation. */
  readonly model: M;
  /** A view for training: dropout is on, its bits drawn from `seed` (u32, shape []), which a training step feeds anew each time. */
  training(seed: Tensor): M;
  /**
   * The loss of a training step: an objective (default: the task's own loss) over views of this adapter, with the methods' terms. Throws
   * `bad-option`.
   */
  loss(inputs: Inputs, seed: Tensor, options?: LossOptions): Loss;
  /** Trained tensors, by full name: what the optimiser steps. */
  readonly params: ReadonlyMap<string, Variable>;
  /** Hints of the methods about some of them. */
  readonly hints: ReadonlyMap<Variable, ParamHint>;
  /** The methods' way of gradients, before the optimiser is given them; null for none. */
  readonly transform: GradientTransform | null;
  /** The methods' way of parameters after the optimiser's step; null for none. */
  readonly project: Projection | null;
  /** `params` and the frozen tensors of the methods: what is saved. */
  readonly state: ReadonlyMap<string, Variable>;
  /** Tensors that only training needs, and keeps in its checkpoints. */
  readonly running: ReadonlyMap<string, Variable>;
  /** Peak learning rate of AdamW to begin with: the lowest that the methods have for a model of this width; null where none has one. */
  readonly learningRate: number | null;
  /** Columns that the methods want batches to have. */
  readonly columns: Readonly<Record<string, Column>>;
  /** Statistics that the methods gather in every training step. */
  statistics(step: TrainedStep): readonly (readonly [Variable, Tensor])[];
  /** Decisions of the methods between steps; null when there are none. */
  readonly decision: Decision | null;
}

/** How `attach` makes first values. */
export interface AttachOptions {
  /** Seed of the random initial values. Default 0. */
  readonly seed?: number;
  /** Values by full name instead of initial ones. Throws `state-mismatch` when a tensor is missing, left over or of another size. */
  readonly state?: State;
}

const rules: Rules<AttachOptions> = {
  seed: mustBe.whole,
  state: mustBe.such('a Map of tensors by name', (v) => v instanceof Map),
};

/** Throws `bad-option` for a method that stands alone, or was not called: `attach(model, lora)`. */
const checkMethods = (methods: unknown): void => {
  const odd = Array.isArray(methods)
    ? methods.find((m) => typeof (m as Partial<Method> | null)?.attach !== 'function')
    : methods;
  if (odd === undefined && Array.isArray(methods)) return;
  const hint = typeof odd === 'function' ? ` (${odd.name} is what makes one: ${odd.name}())` : '';
  throw new PeftError('bad-option', `attach: methods must be a list of methods${hint}: attach(model, [lora()])`);
};

/**
 * Attaches methods to a model, later ones around earlier ones. Returns views that share the base's weights; switching adapters is using
 * another view. A task's own head is trained beside them. Throws `bad-option`; `no-match` for a target that names nothing, `state-mismatch` for a state that
 * does not fit.
 */
export const attach = <M extends Model>(
  base: M,
  methods: readonly Method[],
  options: AttachOptions = {},
): Adapted<M> => {
  requireModel('attach', base);
  checkOptions('attach', rules, options);
  checkMethods(methods);
  const store = makeStore(options.seed ?? 0, options.state);
  const method = combine(methods);
  const patchWith = (chance: Chance): Patch => {
    const scope = makeScope(store, '', chance);
    const heads = wholeLayers(base, base.trainedHeads, scope);
    const own = method.attach(base, scope);
    return base.trainedHeads.length > 0 ? mergePatches([heads, own]) : own;
  };
  const patch = patchWith(chanceOf(null, 0));
  const model = viewOf(base, patch, {});
  store.check();
  const { param, buffer, running } = store.byRole;
  const trainingView = (own: Patch, more: ModelPatch): M => viewOf(base, own, { training: true, ...more });
  return {
    base,
    methods,
    method,
    patch,
    model,
    training: (seed) => trainingView(patchWith(chanceOf(seed, 0)), {}),
    loss: (inputs, seed, lossOptions = {}) => {
      checkOptions('loss', lossRules, lossOptions);
      const { objective = supervised as Objective<never>, recompute = false } = lossOptions;
      const seen = (view: M): M => (recompute ? (view.with({ recompute }) as M) : view);
      const passes: Pass[] = [];
      const patches = [patchWith(chanceOf(seed, 0))];
      let made = 0;
      const train = (): M => {
        const own = (patches[made] ??= patchWith(chanceOf(seed, made)));
        made++;
        return trainingView(own, { recompute, watch: (pass) => passes.push(pass) });
      };
      // Only a model with a task has a loss.
      const { draw } = makeScope(store, '', chanceOf(seed, 0)).at('objective');
      const views = { train, evaluate: seen(model), base: seen(base), draw, passes } as unknown as Views;
      const wrap = patches[0]!.objective ?? ((inner: Objective) => inner);
      return wrap(objective as unknown as Objective)(views, inputs);
    },
    params: param,
    hints: store.hints,
    transform: patch.transform ?? null,
    project: patch.project ?? null,
    state: new Map([...param, ...buffer]),
    running,
    learningRate: startingRate(method, base),
    columns: patch.columns ?? {},
    statistics: (step) => patch.statistics?.(step) ?? [],
    decision: patch.decision ?? null,
  };
};
