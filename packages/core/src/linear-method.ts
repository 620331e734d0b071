import type { CausalLM, Linear, Path } from '@peftjs/transformer';
import type { AdapterConfig, Method, Scope } from './method.ts';
import { select, type Target } from './target.ts';

/** A method that is one small layer around each targeted Linear: most of them are. */
export interface LinearMethodDef {
  readonly name: string;
  readonly target: (model: CausalLM) => Target;
  wrap(base: Linear, scope: Scope, path: Path): Linear;
  config(model: CausalLM, paths: readonly Path[]): AdapterConfig;
}

/** Builds such a method. Attaching throws `no-match` where the target names nothing. */
export const linearMethod = ({ name, target, wrap, config }: LinearMethodDef): Method => {
  const paths = (model: CausalLM): Path[] => select(model.linears.keys(), target(model), name);
  return {
    name,
    attach: (model, scope) => ({
      linear: new Map(paths(model).map((path) => [path, (base: Linear) => wrap(base, scope.at(path), path)])),
    }),
    config: (model) => config(model, paths(model)),
  };
};
