import type { Spec } from '@peftjs/tensor';
import type { Named, Names } from '@peftjs/tensor/op';
import type { Emitter, Value } from './emitter.ts';

/** The context of a lowering: the inputs by name, the graph being made, the specs of the outputs. */
export type Scope<In extends string, Opt extends string> = Named<readonly In[], readonly Opt[], Value> & {
  readonly g: Emitter;
  readonly out: Spec;
  readonly outs: readonly Spec[];
  /** An input as it is stored, f16 not widened. */
  readonly stored: Readonly<Record<string, Value | undefined>>;
  /** Whether anything reads an output: what nobody reads may be null. */
  readonly isUsed: (index: number) => boolean;
};

/** How one op becomes ONNX nodes: its output, or all of them in order. */
export type Rule<In extends string, A = unknown, Opt extends string = never> = (
  t: Scope<In, Opt>,
  attrs: A,
) => Value | readonly (Value | null)[];

/** The rule that a record needs. */
export type RuleOf<O> = O extends {
  readonly inputs: infer In extends Names;
  readonly optional?: infer Opt;
  infer(specs: never, attrs: infer A): unknown;
}
  ? Rule<In[number], A, Opt extends Names ? Opt[number] : never>
  : never;
