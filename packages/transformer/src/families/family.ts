import type { Tensor, Variable } from '@peftjs/tensor';
import type { ModelConfig } from '../config/model-config.ts';
import type { Model } from '../model.ts';
import type { Parts } from '../parts.ts';
import type { RoleRow } from '../roles.ts';
import type { Path } from '../sites.ts';
import type { Inputs, States } from '../states.ts';
import type { HeadName, Pair } from '../tasks/task.ts';
import type { TowerSpec } from '../tower-spec.ts';
import type { TensorNeeds } from '../weights.ts';
import type { CheckpointLayout } from './checkpoint-layout.ts';
import type { StackBase } from './stacked-head.ts';

/** How a family's class of transformers puts a head on the towers. */
export interface HeadSpec<C extends ModelConfig = ModelConfig> {
  /** The class in transformers: `BertForSequenceClassification`. */
  readonly modelClass: string;
  /** The last layer, whose outputs are the logits; '' for none. */
  readonly layer: Path;
  /** Modules whose layers are trained beside every method and saved with its adapter; none of a language model's head. */
  readonly trained: readonly Path[];
  /** Tensors of its own. `outputs`: classes, or the vocabulary. */
  needs(config: C, outputs: number): TensorNeeds;
  /** The config of the class's towers, where they are fewer than the family's others or stand elsewhere. Default: the same. */
  towersOf?(config: C): ModelConfig;
  /** Inputs that the class makes of others where they are missing. Default none. */
  readonly makes?: readonly string[];
  /** The inputs of a pass with those. */
  inputs?(inputs: Inputs, config: C): Inputs;
  /** The rows that the last layer reads: [batch, tokens, d], or [batch, d] where the whole sequence gives one. */
  features(model: Model, states: States, inputs: Inputs, config: C): Tensor;
  /** Vectors of pictures and of texts in one space, where the class has them; null for those whose tower did not run. */
  pair?(model: Model, states: States, inputs: Inputs, config: C): Pair;
  /** The width of those vectors. */
  pairSize?(config: C): number;
  /** The logits l become cap · tanh(l / cap); null: they stay as they are. Default null. */
  cap?(config: C): number | null;
  /** A term of the loss beside the task's, of shape []; null for none. Default null. */
  term?(states: States, inputs: Inputs, config: C): Tensor | null;
}

/** The layers that a family makes of tensors. */
export type OwnParts = Pick<Parts, 'linears' | 'norms' | 'embeddings'> & Partial<Pick<Parts, 'experts'>>;

/** Layers whose init is not the usual, and a model's tensors by name. */
export type Tensors = ReadonlyMap<string, Variable>;

/** All that is known of the models of one `model_type`. */
export interface Family<C extends ModelConfig = ModelConfig> {
  readonly modelType: C['modelType'];
  /** Reads `config.json`; what is wrong goes to `problems`. Loaded when asked for: zod alone takes longer to load than all else. */
  parser(): Promise<(json: unknown, problems: string[]) => C | undefined>;
  /** Fields of `config.json` that it reads though most families know nothing of them; those that no family knows are refused anyhow. Default none. */
  readonly reads?: readonly string[];
  /** `config.json`, as transformers reads it. */
  configJson(config: C): Readonly<Record<string, unknown>>;
  /** The config with what it leaves to the family's rules told layer by layer: alike for models that are alike. Default: the config. */
  explicit?(config: C): Readonly<Record<string, unknown>>;
  /** Settles what `config.json` leaves open, by the names of a checkpoint's tensors. */
  settle?(config: C, has: (name: string) => boolean): C;
  /** Tensors of the towers by Hugging Face name, in the order of the forward pass; matrices as [out, in]. */
  needs(config: C): TensorNeeds;
  /** The towers, in the order of a pass. Throws `bad-config`. */
  towers(config: C): readonly [TowerSpec, ...TowerSpec[]];
  /** Linear layers, norms and embeddings of the towers and of a head, over their variables. */
  parts(config: C, tensors: Tensors): OwnParts;
  readonly layout: CheckpointLayout;
  /** Its layers by role; of some the shares depend on the config. */
  readonly roles: readonly RoleRow[] | ((config: C) => readonly RoleRow[]);
  /** Hugging Face PEFT's tables of default targets; see `ModelLayout.defaultTarget`. */
  readonly defaultTargets: Readonly<Record<string, readonly string[]>>;
  /** The heads that its classes of transformers have; the first is what a folder without a known class is taken for. */
  readonly heads: { readonly [H in HeadName]?: HeadSpec<C> };
  /** Its class of the adapters library, on which heads are stacks of layers. Default none. */
  readonly stacked?: StackBase<C>;
  /**
   * The same architecture with all sizes divided by `reduction` and `layers` layers, for side networks: a vocabulary of one, a tied head.
   */
  narrow(config: C, reduction: number, layers: number): C;
}
