import { type Chosen, kaimingUniform, type Option, type Patch, type Scope, zeros } from '@peftjs/core';
import { add, expertMatmul, matmul, mul, PeftError, reshape, transpose } from '@peftjs/tensor';
import type { Experts, Model, Path } from '@peftjs/transformer';
import { addDelta } from './add-delta.ts';
import { type LoraOptions, lowRank, rankAndScaleOf } from './low-rank.ts';

/** How `adapter_config.json` holds names of parameters: where there are some. */
export const targetParameters: Option<readonly string[]> = {
  key: 'target_parameters',
  fallback: () => [],
  expected: 'a list of names of parameters',
  accepts: (v) => Array.isArray(v) && v.every((name) => typeof name === 'string'),
  toJson: (names) => (names.length > 0 ? [...names] : undefined),
};

/**
 * LoRA of experts: Wₑ + (alpha/r)·Bₑ·Aₑ for each, of which only those of a row are computed. As Hugging Face PEFT lays them out: `lora_A` [experts · rank, in]
 * holds the Aₑ one after the other, `lora_B` [out, rank · experts] the columns of all Bₑ, those of one rank beside each other.
 */
const expertDelta = (base: Experts, own: Scope, path: Path, options: Chosen<LoraOptions>): Experts => {
  const { count, inDim, outDim } = base;
  const { rank, scale } = rankAndScaleOf(path, options);
  const a = reshape(own.param('lora_A.weight', [count * rank, inDim], kaimingUniform), [count, rank, inDim]);
  const columns = own.param('lora_B.weight', [outDim, rank * count], zeros);
  const b = transpose(reshape(columns, [outDim, rank, count]), [2, 0, 1]); // [count, outDim, rank]
  return {
    ...base,
    apply: (x, index, call) =>
      add(base.apply(x, index, call), expertMatmul(mul(expertMatmul(x, a, index), scale), b, index)),
    dense: () => add(base.dense(), mul(matmul(b, a), scale)),
  };
};

/** The scope of each of some parameters of experts: Hugging Face PEFT wraps the module once for each, the first innermost. */
const wrappedScopes = (paths: readonly Path[]): ReadonlyMap<Path, Path> => {
  const moduleOf = (path: Path): Path => path.slice(0, path.lastIndexOf('.'));
  return new Map(
    paths.map((path, i) => {
      const around = paths.slice(i + 1).filter((other) => moduleOf(other) === moduleOf(path)).length;
      return [path, `${moduleOf(path)}${'.base_layer'.repeat(around)}`];
    }),
  );
};

/**
 * LoRA of parameters by name, or its end after a dot: stacked matrices of experts, and weights of linear layers (routers' `gate.weight`). Throws
 * `no-match` for a name that there is not; `bad-option` for the weight of a layer that is a target too.
 */
export const parameterDeltas = (
  model: Model,
  scope: Scope,
  names: readonly string[],
  options: Chosen<LoraOptions>,
  adapted: readonly Path[],
): Patch => {
  const isNamed = (parameter: string): boolean =>
    names.some((name) => parameter === name || parameter.endsWith(`.${name}`));
  const experts = [...model.experts.keys()].filter(isNamed);
  const linears = [...model.linears.keys()].filter((path) => isNamed(`${path}.weight`));
  const found = [...experts, ...linears.map((path) => `${path}.weight`)];
  const missed = names.filter((name) => !found.some((path) => path === name || path.endsWith(`.${name}`)));
  if (missed.length > 0) {
    const there = new Set([...model.experts.keys()].map((path) => path.replace(/\.\d+(?=\.)/g, '.*')));
    throw new PeftError(
      'no-match',
      `lora: targetParameters ${missed.join(', ')} name no parameter; there are ${[...there, 'the weights of linear layers'].join(', ')}`,
    );
  }
  const twice = linears.filter((path) => adapted.includes(path));
  if (twice.length > 0)
    throw new PeftError(
      'bad-option',
      `lora: targetParameters: ${twice[0]}.weight is that of a layer that target names too; leave it out of one of them`,
    );
  const scopes = wrappedScopes(experts);
  return {
    linear: new Map(
      linears.map((path) => [path, (base) => addDelta(base, lowRank(base, scope.at(path), path, options))]),
    ),
    experts: new Map(
      experts.map((path) => [path, (base) => expertDelta(base, scope.at(scopes.get(path)!), path, options)]),
    ),
  };
};
