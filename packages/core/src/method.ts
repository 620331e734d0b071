import type { JsonObject } from '@peftjs/io';
import type { Shape, Tensor, Variable } from '@peftjs/tensor';
import type { Around, CausalLM, Linear, Path, SiteName } from '@peftjs/transformer';
import type { Init } from './init.ts';

/** Middleware by site and path. */
export type AroundTable = { readonly [S in SiteName]?: ReadonlyMap<Path, Around<S>> };

/** Everything a method does to a model, as data. Every part is optional and keyed by path. */
export interface Patch {
  /** A new layer made of the old one: low-rank, orthogonal, scaling, weight-space methods. */
  readonly linear?: ReadonlyMap<Path, (base: Linear) => Linear>;
  /** Code around a sublayer: adapters, prompts, key/value prefixes, representation edits. */
  readonly around?: AroundTable;
  /** Added to the training loss: orthogonality, sparsity. */
  readonly penalty?: () => Tensor;
}

/** Creates and names the tensors of a method. The same name gives the same variable in every view of one adapter. */
export interface Scope {
  /** A trained tensor, f32. Its full name is `<path>.<name>`, as Hugging Face PEFT writes it. */
  param(name: string, shape: Shape, init: Init): Variable;
  /** A frozen tensor that is made from the seed and saved all the same: random projections, masks. */
  buffer(name: string, shape: Shape, init: Init): Variable;
  /** The scope of a layer. */
  at(path: Path): Scope;
  /** Dropout while training, the identity otherwise: zero with probability `rate`, the rest divided by 1 − rate. */
  dropout(x: Tensor, rate: number): Tensor;
}

/** A PEFT method with its options chosen. */
export interface Method {
  /** The paper's name, in lower camel. */
  readonly name: string;
  /** Describes the change to a model; called once for each view (evaluation, training), so it must not keep state. */
  attach(model: CausalLM, scope: Scope): Patch;
  /** What `adapter_config.json` says of it for this model: Hugging Face PEFT's fields where it has the method. */
  config(model: CausalLM): AdapterConfig;
}

/** The content of `adapter_config.json`. */
export interface AdapterConfig extends JsonObject {
  readonly peft_type: string;
}

/** What `load` needs to know of a method: its `peft_type`, and how to make it from a saved configuration. */
export interface MethodFormat {
  readonly peftType: string;
  /** Throws `bad-adapter` naming the fields it does not support. */
  fromConfig(config: AdapterConfig): Method;
}
