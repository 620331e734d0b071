import { filled, type Init, normal, type Scope, zeros } from '@peftjs/core';
import { broadcastTo, constant, type Variable } from '@peftjs/tensor';
import { denseEmbedding, denseLinear, type Model, type Norm, type Path } from '@peftjs/transformer';
import type { FirstValues } from './pruned-start.ts';

/**
 * A model of the same architecture with all sizes divided, its layers' weights made in `scope`: matrices from N(0, 0.02²), norms 1, biases
 * 0, where `first` has no values of theirs. It has no embeddings of its own, nor a layer that embeds patches: its input is to be given at its `embed` site.
 */
export const narrowModel = (
  base: Model,
  scope: Scope,
  reduction: number,
  layers: number,
  first: FirstValues = {},
): Model => {
  const shell = base.narrow(reduction, layers);
  const param = (name: string, shape: readonly number[], init: Init): Variable => {
    const given = first[name];
    return scope.param(name, shape, given ? () => given : init);
  };
  const values = (path: Path, shape: readonly number[], init: Init, bias: boolean): Parameters<Norm['encode']>[0] => ({
    weight: param(`${path}.weight`, shape, init),
    bias: bias ? param(`${path}.bias`, [shape[0]!], zeros) : null,
  });
  const outside = new Set(shell.parts(['head', 'patch']).map(({ path }) => path));
  const linears = [...shell.linears].filter(([path]) => !outside.has(path));
  return shell.with({
    linears: new Map(
      linears.map(([path, { outDim, inDim, dense }]) => [
        path,
        denseLinear(values(path, [outDim, inDim], normal(0.02), dense().bias !== null)),
      ]),
    ),
    norms: new Map(
      [...shell.norms].map(([path, norm]) => [
        path,
        norm.encode(values(path, [norm.dim], filled(1), norm.bias !== null)),
      ]),
    ),
    // Learned positions are in its input already.
    embeddings: new Map(
      [...shell.embeddings].map(([path, { rows, dim }]) => [
        path,
        denseEmbedding(broadcastTo(constant(Float32Array.of(0), []), [rows, dim])),
      ]),
    ),
  });
};
