import { add, concat, slice, type Tensor } from '@peftjs/tensor';
import { type Around, type Call, type Model, type Pass, type Path, renamedCache } from '@peftjs/transformer';

/** The rows of the tokens, without those that other methods put in front. */
export const ofTokens = (x: Tensor, { sequence: { tokens } }: Call): Tensor => {
  const rows = x.shape[1]!;
  return rows === tokens ? x : slice(x, { axis: 1, start: rows - tokens, end: rows });
};

/** `more` added to the last rows. */
export const addToTokens = (x: Tensor, more: Tensor): Tensor => {
  const front = x.shape[1]! - more.shape[1]!;
  if (front === 0) return add(x, more);
  const part = (start: number, end: number): Tensor => slice(x, { axis: 1, start, end });
  return concat(part(0, front), add(part(front, x.shape[1]!), more), { axis: 1 });
};

/** The last states of a side network in a pass of the base, [batch, tokens, narrow]: its rows begin with `first`, its keys are kept in the pass's cache under a name of its own. */
export const runSide = (
  side: Model,
  pass: Pass,
  name: string,
  first: Tensor,
  block: ReadonlyMap<Path, readonly Around<'block'>[]> = new Map(),
): Tensor => {
  const { cache } = pass.options;
  const around = { embed: new Map([[side.paths('embed')[0]!, [() => first]]]), block };
  return side.with({ around }).states(pass.inputs, {
    ...pass.options,
    ...(cache && { cache: renamedCache(cache, (path) => `${name}.${path}`) }),
  }).main;
};
