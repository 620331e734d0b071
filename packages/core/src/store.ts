import {
  type DType,
  holds,
  PeftError,
  randomSource,
  type Shape,
  sameShape,
  type TypedArray,
  type Variable,
  type VariableInit,
  variable,
} from '@peftjs/tensor';
import type { ParamHint } from './gradient-transform.ts';
import type { Init } from './init.ts';
import type { State } from './method.ts';

/** The purpose of an adapter's tensor. */
export type Role = 'param' | 'buffer' | 'running';

/** Further wishes about a tensor. */
export interface MakeOptions {
  /** Default f32. */
  readonly dtype?: DType | undefined;
  readonly hint?: ParamHint | undefined;
}

/** The tensors of an adapter, made once by name. */
export interface Store {
  readonly byRole: { readonly [R in Role]: ReadonlyMap<string, Variable> };
  /** Of parameters, where one was given. */
  readonly hints: ReadonlyMap<Variable, ParamHint>;
  make(name: string, shape: Shape, init: Init, role: Role, more?: MakeOptions): Variable;
  /** Throws `state-mismatch` with all tensors that were missing, left over or of another size. */
  check(): void;
}

/** Values of a tensor that does not fit: `check` throws before anything asks for them. A file may say any size, so none are made. */
const refused = (): never => {
  throw new PeftError('state-mismatch', 'attach: the adapter does not fit this model and method');
};

/** Where the first values come from: a given state, else the seed and the tensor's name. */
export const makeStore = (seed: number, given: State | undefined): Store => {
  const byRole = {
    param: new Map<string, Variable>(),
    buffer: new Map<string, Variable>(),
    running: new Map<string, Variable>(),
  };
  const hints = new Map<Variable, ParamHint>();
  const all = new Map<string, Variable>();
  const problems: string[] = [];
  const takeGiven = (name: string, shape: Shape, dtype: DType): TypedArray | undefined => {
    const found = given?.get(name);
    if (!found) problems.push(`${name} is missing`);
    else if (!sameShape(found.shape, shape)) problems.push(`${name} is [${found.shape}], the model takes [${shape}]`);
    else if (!holds(dtype, found.data)) problems.push(`${name} does not hold ${dtype} values`);
    else return found.data;
    return undefined;
  };
  const initOf = (name: string, shape: Shape, init: Init, role: Role, dtype: DType): VariableInit => {
    if (given && role !== 'running') return takeGiven(name, shape, dtype) ?? refused;
    if (typeof init === 'function') return (compute) => init(shape, randomSource(seed, name), compute);
    return 'graph' in init ? init.graph(randomSource(seed, name)) : init;
  };
  return {
    byRole,
    hints,
    make: (name, shape, init, role, { dtype = 'f32', hint } = {}) => {
      const known = all.get(name);
      if (known) return known;
      const made = variable(name, shape, initOf(name, shape, init, role, dtype), dtype);
      all.set(name, made);
      byRole[role].set(name, made);
      if (hint) hints.set(made, hint);
      return made;
    },
    check: () => {
      for (const name of given?.keys() ?? [])
        if (!all.has(name)) problems.push(`${name} belongs to nothing in the model`);
      if (problems.length > 0)
        throw new PeftError(
          'state-mismatch',
          `attach: the adapter does not fit this model and method: ${problems.join('; ')}`,
        );
    },
  };
};
