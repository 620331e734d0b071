import type { Path } from '../../sites.ts';
import type { InitKind, TensorNeed, TensorNeeds } from '../../weights.ts';
import type { DecoderConfig } from './config.ts';
import { expertNeeds } from './experts.ts';
import { type DecoderNames, type Traits, unusedPositions, within } from './record.ts';

/** The layer between embedded tokens and the stream, or back. */
export const projectionOf = ({ root }: DecoderNames, way: 'in' | 'out'): Path => `${root}.project_${way}`;

/** The path of an attention's sinks: a table of one row. */
export const sinksOf = (attn: Path): Path => `${attn}.sinks`;

/** The linear layers of one block: path within it, and what its tensors are. */
const blockLinears = (
  c: DecoderConfig,
  { biases, gated, experts }: Traits,
  names: DecoderNames,
  layer: number,
): readonly (readonly [path: string, outDim: number, inDim: number, bias: boolean, init: InitKind])[] => {
  const [queries, keys] = [c.heads * c.headDim, c.keyValueHeads * c.headDim];
  const { attn, mlp, queryKeyValue, gateUp, attnOrder } = names;
  type Outputs = readonly (readonly [name: string, outDim: number])[];
  const rows = { queryKeyValue: queries + 2 * keys, query: queries, key: keys, value: keys };
  const joined = ['query', 'key', 'value'];
  const ofAttention = attnOrder.filter((role) => (queryKeyValue ? !joined.includes(role) : role !== 'queryKeyValue'));
  const wide: Outputs = gateUp
    ? [[gateUp, 2 * c.intermediateSize]]
    : [...(gated ? [[names.gate, c.intermediateSize] as const] : []), [names.up, c.intermediateSize]];
  const hasMlp = !experts?.at(layer);
  return [
    ...ofAttention.map((role) =>
      role === 'attnOut'
        ? ([`${attn}.${names.attnOut}`, c.hiddenSize, queries, biases.out, 'residual'] as const)
        : ([`${attn}.${names[role]}`, rows[role], c.hiddenSize, biases.qkv, 'normal'] as const),
    ),
    ...(hasMlp ? wide : []).map(([name, out]) => [within(mlp, name), out, c.hiddenSize, biases.mlp, 'normal'] as const),
    ...(hasMlp ? [[within(mlp, names.down), c.hiddenSize, c.intermediateSize, biases.mlp, 'residual'] as const] : []),
  ];
};

/** The norms of a block on the stream, by name, in the order of the forward pass. */
export const blockNorms = ({ norms: { attn, mlp } }: Traits): readonly string[] =>
  [...new Set([attn.before, attn.after, attn.sum, mlp.before, mlp.after, mlp.sum])].filter((name) => name != null);

/** The norms of queries and keys: path within a block, and width. */
const queryKeyNorms = (
  c: DecoderConfig,
  { queryKeyNorms: kind }: Traits,
  { attn, queryNorm, keyNorm }: DecoderNames,
): readonly (readonly [string, number])[] => {
  if (!kind) return [];
  const width = (heads: number): number => (kind === 'by-head' ? c.headDim : heads * c.headDim);
  return [
    [`${attn}.${queryNorm}`, width(c.heads)],
    [`${attn}.${keyNorm}`, width(c.keyValueHeads)],
  ];
};

/** The tensors of a gated decoder's tower by Hugging Face name, in the order in which the class has its layers. */
export const decoderNeeds = (config: DecoderConfig, traits: Traits, names: DecoderNames): TensorNeeds => {
  const { vocabSize, hiddenSize, layers } = config;
  const init = traits.norm === 'rms-plus-one' ? 'zeros' : 'ones';
  const needs = new Map<string, TensorNeed>([
    [`${names.root}.${names.tokens}.weight`, { shape: [vocabSize, traits.tokenWidth], init: 'normal' }],
  ]);
  const isProjected = traits.tokenWidth !== hiddenSize;
  if (isProjected) {
    needs.set(`${projectionOf(names, 'out')}.weight`, { shape: [traits.tokenWidth, hiddenSize], init: 'normal' });
    needs.set(`${projectionOf(names, 'in')}.weight`, { shape: [hiddenSize, traits.tokenWidth], init: 'normal' });
  }
  const norm = (path: string, width = hiddenSize, bias = traits.normBias): void => {
    needs.set(`${path}.weight`, { shape: [width], init });
    if (bias) needs.set(`${path}.bias`, { shape: [width], init: 'zeros' });
  };
  if (traits.positions === 'learned')
    needs.set(`${names.root}.${names.positions}.weight`, {
      shape: [config.maxPositions + unusedPositions, hiddenSize],
      init: 'normal',
    });
  if (traits.rowNorm !== null) norm(`${names.root}.${traits.rowNorm}`);
  for (let layer = 0; layer < layers; layer++) {
    const block = `${names.root}.${names.blocks}.${layer}`;
    for (const [path, outDim, inDim, bias, kind] of blockLinears(config, traits, names, layer)) {
      needs.set(`${block}.${path}.weight`, { shape: [outDim, inDim], init: kind });
      if (bias) needs.set(`${block}.${path}.bias`, { shape: [outDim], init: 'zeros' });
    }
    if (traits.experts?.at(layer))
      for (const [name, need] of expertNeeds(`${block}.${names.mlp}`, config, traits.experts, names.router))
        needs.set(name, need);
    for (const [path, width] of queryKeyNorms(config, traits, names))
      norm(`${block}.${path}`, width, traits.normBias && traits.queryKeyNorms !== 'each-head');
    if (traits.sinks)
      needs.set(`${sinksOf(`${block}.${names.attn}`)}.weight`, { shape: [1, config.heads], init: 'normal' });
    for (const path of blockNorms(traits)) norm(`${block}.${path}`);
  }
  if (traits.lastNorm) norm(`${names.root}.${names.last}`);
  return needs;
};
