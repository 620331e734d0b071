import type { AdapterLayout, JsonObject } from '@peftjs/io';
import type {
  DType,
  Executable,
  Executor,
  OnExecutor,
  ProgramSpec,
  Shape,
  Tensor,
  TypedArray,
  Variable,
} from '@peftjs/tensor';
import type {
  Around,
  Column,
  Embedding,
  Experts,
  Linear,
  Model,
  Norm,
  Path,
  SiteName,
  TaskModel,
} from '@peftjs/transformer';
import type { GradientTransform, ParamHint } from './gradient-transform.ts';
import type { Init } from './init.ts';
import type { Objective } from './objective.ts';
import type { Projection } from './projection.ts';
import type { Settled } from './settled.ts';

/** Middleware by site and path. */
export type MiddlewareTable = { readonly [S in SiteName]?: ReadonlyMap<Path, Around<S>> };

/** New parts made of the old ones, by path. */
export type Wraps<T> = ReadonlyMap<Path, (base: T) => T>;

/** Everything a method does to a model, as data. Every part is optional and keyed by path. */
export interface Patch {
  /** A new layer made of the old one: low-rank, orthogonal, scaling, weight-space methods. */
  readonly linear?: Wraps<Linear>;
  /** A new norm made of the old one. */
  readonly norm?: Wraps<Norm>;
  /** A new embedding made of the old one. */
  readonly embedding?: Wraps<Embedding>;
  /** New matrices of experts made of the old ones. */
  readonly experts?: Wraps<Experts>;
  /** Code around a sublayer: adapters, prompts, key/value prefixes, representation edits. */
  readonly around?: MiddlewareTable;
  /** Added to the position of every token of the main tower: the length of a key/value prefix, as huggingface/peft counts it. */
  readonly positionShift?: number;
  /** The only number of sequences that a view with it takes. Default: any. */
  readonly batchSize?: number;
  /**
   * Around the objective of a training step: penalties (`penalty`), also of activations, which passes hold in their slots once `inner` was
   * called; consistency, distillation.
   */
  readonly objective?: (inner: Objective) => Objective;
  /** The way of the parameters' gradients before the optimiser is given them: projections, masks. */
  readonly transform?: GradientTransform;
  /** The way of the parameters after the optimiser's step: thresholds, masks, norms that are kept. */
  readonly project?: Projection;
  /** Columns that batches must have beside those of the model and its task: `{ task: { shape: [], dtype: 'i32' } }`. */
  readonly columns?: Readonly<Record<string, Column>>;
  /** Statistics that every training step gathers on the device: new values of `running` tensors and buffers. */
  readonly statistics?: (step: TrainedStep) => readonly (readonly [Variable, Tensor])[];
  /** A decision that the method takes on the host after some of the steps. */
  readonly decision?: Decision;
}

/** A training step, as its statistics see it. */
export interface TrainedStep {
  /** ∂loss/∂param of this step, penalties included, before clipping. */
  gradient(param: Variable): Tensor;
  /** The value that it is given in this step, projected where a method does that. */
  updated(param: Variable): Tensor;
}

/** Code that runs on the host between two steps: rank budgets, pruning. The compiled step stays; only values change. */
export interface Decision {
  /** Whether it runs after the step with this number; the first is 1. Other steps never wait for the host. */
  due(step: number): boolean;
  run(step: number, between: Between): Promise<void>;
}

/** The means of a decision between two steps of a run. */
export interface Between extends Pick<Executor, 'read' | 'write'> {
  /** Values of tensors made of variables as they are now: BA, to be added to a stored sum. */
  compute(outputs: Readonly<Record<string, Tensor>>): Promise<Record<string, TypedArray>>;
  /** A program over those variables, to be run several times; the decision closes it. */
  compile(spec: ProgramSpec): Promise<Executable>;
  /**
   * Forgets what the optimiser keeps for some parameters, but for the share `keep` (default 0) of each tensor with the largest magnitudes.
   * Lialin et al., 2023 (ReLoRA). https://arxiv.org/abs/2307.05695
   */
  resetOptimizer(params: Iterable<Variable>, keep?: number): Promise<void>;
  /** The learning rate grows anew: over the next `steps` steps linearly from 0 to what the schedule says. */
  rewarm(steps: number): void;
}

/** Creates and names the tensors of a method. The same name gives the same variable in every view of one adapter. */
export interface Scope {
  /** A trained tensor, f32. Its full name is `<path>.<name>`, as Hugging Face PEFT writes it. */
  param(name: string, shape: Shape, init: Init, hint?: ParamHint): Variable;
  /** A frozen tensor that is saved with the adapter: random projections, masks, indices. Default f32. */
  buffer(name: string, shape: Shape, init: Init, dtype?: DType): Variable;
  /** A frozen tensor that only training needs: statistics. Part of a run's checkpoint, not of the adapter. */
  running(name: string, shape: Shape, init: Init): Variable;
  /** The scope of a layer. */
  at(path: Path): Scope;
  /** Dropout while training, the identity otherwise: zero with probability `rate`, the rest divided by 1 − rate. */
  dropout(x: Tensor, rate: number): Tensor;
  /** Uniform values in [0, 1), drawn anew in every training pass; null in evaluation: sampled ranks, routes, gates, noise. */
  readonly draw: ((shape: Shape) => Tensor) | null;
}

/** Values by full name. */
export type State = ReadonlyMap<string, { readonly shape: Shape; readonly data: TypedArray }>;

/** One batch of examples: named columns, row-major, with their shapes; the first axis of each is `rows`. */
export interface Examples {
  readonly rows: number;
  readonly columns: Readonly<Record<string, TypedArray>>;
  readonly shapes: Readonly<Record<string, Shape>>;
}

/** The executor and the batches by which methods look at a model before training. */
export interface PrepareOptions extends OnExecutor {
  readonly data: readonly Examples[];
}

/** A PEFT method with its options chosen. */
export interface Method {
  /** The paper's name, in lower camel. */
  readonly name: string;
  /** The methods that it combines in a model; none for a single one. */
  parts?(model: Model): readonly MethodPart[];
  /**
   * Of one that changes layers and nothing else: itself, with the layers that it changes in a part of a model named one by one, for use in
   * the whole of it. Null where it does more than that. `combine` says by it what Hugging Face PEFT's files can say.
   */
  settled?(part: Model): Settled | null;
  /** Peak learning rate of AdamW to begin with: the paper's or the reference implementation's, where it has one. */
  readonly learningRate?: number;
  /** The same for models narrower than 512, where that is another. */
  readonly narrowRate?: number;
  /** Whether it folds into the weights; one that depends on its input does not. */
  readonly merges: boolean;
  /** Describes the change to a model; called once for each view (evaluation, training), so it must not keep state. */
  attach(model: Model, scope: Scope): Patch;
  /**
   * Whose files its adapters have: default Hugging Face PEFT's, whose keys are `base_model.model.<name>`; or those of
   * adapter-hub/adapters, whose keys are the names, with `default` for the adapter's: `…output_adapters.adapters.default.adapter_up.weight`.
   */
  readonly layout?: AdapterLayout;
  /**
   * In the layout of adapter-hub/adapters: the table of default targets that a model has where that library's names for what the method adds are known. Default
   * `adapterHubIntermediate`: the names of all its methods.
   */
  readonly hubTable?: string;
  /** Its `adapter_config.json` for this model: the fields of the layout's library where that has the method, and `peft_type`. */
  config(model: Model): AdapterConfig;
  /** Names of tensors whose key in the file is another one than the layout's; a name that ends with a dot is the beginning of several. */
  readonly keys?: Readonly<Record<string, string>>;
  /** Names of tensors of which a file may hold a copy for layers that have none of their own, `<path>.<name>`: it must be the same, and is not read. */
  readonly repeated?: readonly string[];
  /** Tensors that its file holds again under other names: the name of each copy, with that of its own among `names`, the state's. */
  copies?(model: Model, names: readonly string[]): ReadonlyMap<string, string>;
  /** Ends of other names that a file may have for a tensor as well, or alone: `{ 'adapter_down.0.weight': 'adapter_norm_before.weight' }`. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** Looks at the base, its loss and data before it can be attached: masks from gradients, first values from activations. */
  prepare?(model: TaskModel, options: PrepareOptions): Promise<Method>;
  /** False where `prepare` looks at the base's weights alone, so that it may be given no data. */
  readonly needsData?: false;
  /** The same function in fewer tensors, once training is over: an encoder's output, ranks that were pruned. What is saved. */
  compact?(model: Model, state: State, options: OnExecutor): Promise<Compacted>;
}

/** A method among those that another combines. */
export interface MethodPart {
  /** The beginning of its tensors' names; empty where they have no group of their own. */
  readonly prefix: string;
  readonly method: Method;
  /** The model as it sees it. */
  readonly view: Model;
}

/** A method and its values in their final form. */
export interface Compacted {
  readonly method: Method;
  readonly state: State;
}

/** The configuration of a method in a file. In files of adapter-hub/adapters there is no `peft_type`, but an `architecture` or none. */
export type AdapterConfig = JsonObject & { readonly peft_type?: string };

/** Where a method was published. */
export interface Paper {
  /** "Hu et al." */
  readonly authors: string;
  readonly year: number;
  readonly title: string;
  readonly url: string;
}

/** The card of a method: its row in the table of methods, and the rate that training begins with. */
export interface MethodCard {
  /** The trained part, in a few words: "low-rank updates of weights". */
  readonly about: string;
  readonly paper: Paper;
  /** Peak learning rate of AdamW to begin with: the paper's or the reference implementation's, where it has one. */
  readonly learningRate: number;
  /**
   * The same for models narrower than 512, as the tables of `pnpm bench --task quality` show it (docs/quality.md): papers' rates are for models ten times as wide as
   * the one that is measured there. Left out where the paper's does.
   */
  readonly narrowRate?: number;
}

/** A method without options: what `load` and the table of methods know of it. */
export interface MethodFormat extends MethodCard {
  /** The paper's name, in lower camel, as `Method.name`. */
  readonly name: string;
  /** `peft_type` in `adapter_config.json`. */
  readonly peftType: string;
  /** Whether it folds into the weights. */
  readonly merges: boolean;
  /** Whether a configuration is this method's: variants share a type. */
  reads(config: AdapterConfig): boolean;
  /**
   * The method of a saved configuration; `build` makes those of methods inside it. Throws `bad-adapter` naming the fields it does not
   * support.
   */
  fromConfig(config: AdapterConfig, build: (config: AdapterConfig) => Method): Method;
}
