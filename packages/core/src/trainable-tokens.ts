import { isObject } from '@peftjs/io';
import { constant, gather, PeftError, reshape, select, type Tensor } from '@peftjs/tensor';
import {
  affine,
  denseLinear,
  type Embedding,
  isDenseLinear,
  type Linear,
  type Model,
  type Path,
} from '@peftjs/transformer';
import type { Patch, Scope } from './method.ts';
import type { Option } from './option.ts';
import { isWithin } from './whole-layers.ts';

/** Rows of embeddings: of the tokens' own one, or by the name of the embedding. */
export type TokenChoice = readonly number[] | Readonly<Record<string, readonly number[]>>;

/** Whether a value is a list of different rows. */
export const isRows = (value: unknown): value is readonly number[] =>
  Array.isArray(value) &&
  value.every((id) => Number.isSafeInteger(id) && id >= 0) &&
  new Set(value).size === value.length;

/**
 * The option `trainableTokens` of methods that have it in Hugging Face PEFT (LoRA's kind): rows of embeddings that are trained and saved,
 * others stay. `defineMethod` trains them.
 */
export const trainableTokens: Option<TokenChoice> = {
  key: 'trainable_token_indices',
  fallback: () => [],
  expected: 'a list of different token ids, or such lists by names of embeddings',
  accepts: (v) => isRows(v) || (isObject(v) && Object.values(v).every(isRows)),
  toJson: (rows) => (isRows(rows) ? (rows.length > 0 ? [...rows] : undefined) : { ...rows }),
};

const misfit = (method: string, problem: string): PeftError =>
  new PeftError('no-match', `${method}: trainableTokens: ${problem}`);

/** The table of the first tower whose embedding is in sight. */
const tokenTable = ({ towers, paths }: Model): Path | undefined =>
  towers.find((tower) => tower.paths('embed').some((path) => paths('embed').includes(path)))?.tokenTable ?? undefined;

/** The fault of rows that a table does not have; null where there is none. */
const beyondTable = (model: Model, path: Path, ids: readonly number[]): string | null => {
  const { rows } = model.embeddings.get(path)!;
  const beyond = ids.filter((id) => id >= rows);
  return beyond.length > 0 ? `${path} has ${rows} rows, so not ${beyond.join(', ')}` : null;
};

/** The rows by path of their embedding. */
const rowsByPath = (model: Model, rows: TokenChoice, method: string): ReadonlyMap<Path, readonly number[]> => {
  const all = [...model.embeddings.keys()];
  const named: readonly (readonly [Path, readonly number[]])[] = isRows(rows)
    ? rows.length === 0
      ? []
      : [[tokenTable(model) ?? 'of tokens', rows]]
    : Object.entries(rows).map(([name, ids]) => {
        const found = all.filter((path) => isWithin(name, path));
        if (found.length !== 1) throw misfit(method, `${name} must name one embedding; there are ${all.join(', ')}`);
        return [found[0]!, ids];
      });
  for (const [path, ids] of named) {
    if (!model.embeddings.has(path)) throw misfit(method, `there is no embedding ${path} in this part of the model`);
    const beyond = beyondTable(model, path, ids);
    if (beyond) throw misfit(method, beyond);
  }
  return new Map(named.filter(([, ids]) => ids.length > 0));
};

/** For each row of a table its place among the trained ones, −1 for the others; and 1 or 0. */
const placesOf = (ids: readonly number[], rows: number): { readonly place: Tensor; readonly isOwn: Tensor } => {
  const [place, isOwn] = [new Int32Array(rows).fill(-1), new Float32Array(rows)];
  for (const [i, id] of ids.entries()) [place[id], isOwn[id]] = [i, 1];
  return { place: constant(place, [rows]), isOwn: constant(isOwn, [rows]) };
};

/** Rows [..., dim] with trained ones in the place of some. */
const replaced = (rows: Tensor, trained: Tensor, place: Tensor, isOwn: Tensor): Tensor =>
  select(reshape(isOwn, [...isOwn.shape, 1]), gather(trained, place), rows);

const withRows = (base: Embedding, trained: Tensor, ids: readonly number[]): Embedding => {
  const { place, isOwn } = placesOf(ids, base.rows);
  return {
    ...base,
    weight: replaced(base.weight, trained, place, isOwn),
    apply: (tokens, call) => replaced(base.apply(tokens, call), trained, gather(place, tokens), gather(isOwn, tokens)),
  };
};

/** A head over the same table has the same rows. */
const tiedHead = (base: Linear, trained: Tensor, ids: readonly number[]): Linear => {
  const { place, isOwn } = placesOf(ids, base.outDim);
  const dense: Linear['dense'] = () => {
    const { weight, bias } = base.dense();
    return { weight: replaced(weight, trained, place, isOwn), bias };
  };
  return isDenseLinear(base) ? denseLinear(dense()) : { ...base, apply: (x) => affine(x, dense()), dense };
};

/**
 * A patch that trains single rows of embeddings, by path, from the base's values; in a head that shares the table too. The tensor of that name holds the new rows, [rows, dim]. A head keeps its
 * bias (BERT's), as it does in Hugging Face PEFT once merged; before, PEFT 0.21 leaves it out.
 */
const trainRows = (model: Model, scope: Scope, byPath: ReadonlyMap<Path, readonly number[]>, name: string): Patch => {
  const deltas = new Map(
    [...byPath].map(([path, ids]) => {
      const { weight, dim } = model.embeddings.get(path)!;
      const first = gather(weight, constant(Int32Array.from(ids), [ids.length]));
      return [path, scope.at(path).param(name, [ids.length, dim], first)] as const;
    }),
  );
  const tied = [...model.linears].flatMap(([head, layer]) =>
    [...byPath.keys()]
      .filter(
        (path) =>
          layer.outDim === model.embeddings.get(path)!.rows &&
          layer.dense().weight.node === model.embeddings.get(path)!.weight.node,
      )
      .map((path) => [head, path] as const),
  );
  return {
    embedding: new Map([...byPath].map(([path, ids]) => [path, (base) => withRows(base, deltas.get(path)!, ids)])),
    linear: new Map(tied.map(([head, path]) => [head, (base) => tiedHead(base, deltas.get(path)!, byPath.get(path)!)])),
  };
};

/**
 * `trainRows` beside another method, with the names and the meaning of Hugging Face PEFT's `trainable_token_indices`: `<embedding>.token_adapter.trainable_tokens_delta`.
 * Throws `no-match`.
 */
export const trainTokens = (model: Model, scope: Scope, rows: TokenChoice, method: string): Patch =>
  trainRows(model, scope, rowsByPath(model, rows, method), 'token_adapter.trainable_tokens_delta');

/** The patch of a method that trains the same rows of some embeddings, `<embedding>.trainable_tokens_delta`, and nothing else. Throws `bad-option` where one has fewer. */
export const tokenRows = (
  model: Model,
  scope: Scope,
  paths: Iterable<Path>,
  ids: readonly number[],
  method: string,
): Patch => {
  const byPath = new Map([...paths].map((path) => [path, ids] as const));
  for (const path of byPath.keys()) {
    const beyond = beyondTable(model, path, ids);
    if (beyond) throw new PeftError('bad-option', `${method}: ${beyond}`);
  }
  return trainRows(model, scope, byPath, 'trainable_tokens_delta');
};
