import { filled, type Init, normal, type Scope, zeros } from '@peftjs/core';
import { broadcastTo, constant } from '@peftjs/tensor';
import { buildModel, type CausalLM, denseEmbedding, denseLinear, type Norm, type Path } from '@peftjs/transformer';

/** The sizes of a model divided by `reduction`, with as many heads, and `layers` layers. */
const narrowConfig = (config: CausalLM['config'], reduction: number, layers: number): CausalLM['config'] => {
  const { hiddenSize, intermediateSize, heads, headDim } = config;
  const part = (size: number): number => Math.max(1, Math.round(size / reduction));
  const sizes = { layers, intermediateSize: part(intermediateSize), vocabSize: 1, tieWordEmbeddings: true };
  if (config.modelType === 'gpt2') {
    const ownDim = part(hiddenSize / heads);
    return { ...config, ...sizes, hiddenSize: heads * ownDim, headDim: ownDim };
  }
  // Rotary positions turn pairs.
  return { ...config, ...sizes, hiddenSize: part(hiddenSize), headDim: 2 * part(headDim / 2) };
};

/**
 * A model of the same architecture with all sizes divided, its layers' weights made in `scope`: matrices from N(0, 0.02²), norms 1, biases
 * 0. It has no embeddings of its own: what it reads is to be given at its `embed` site.
 */
export const narrowModel = (base: CausalLM, scope: Scope, reduction: number, layers: number): CausalLM => {
  const config = narrowConfig(base.config, reduction, layers);
  const shell = buildModel(config, {
    has: () => true,
    load: (_, shape) => () => new Float32Array(shape.reduce((n, d) => n * d, 1)),
  });
  const values = (path: Path, shape: readonly number[], init: Init, bias: boolean): Parameters<Norm['encode']>[0] => ({
    weight: scope.param(`${path}.weight`, shape, init),
    bias: bias ? scope.param(`${path}.bias`, [shape[0]!], zeros) : null,
  });
  const linears = [...shell.linears].filter(([path]) => path !== 'lm_head');
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
    // Learned positions are in what it reads already.
    embeddings: new Map(
      [...shell.embeddings].map(([path, { rows, dim }]) => [
        path,
        denseEmbedding(broadcastTo(constant(Float32Array.of(0), []), [rows, dim])),
      ]),
    ),
  });
};
