import { add, concat, mul, reshape, ropePair, slice, type Tensor, transpose } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import type { Rope } from '../../config/rope.ts';
import type { AttendOptions, Forward } from '../../forward.ts';
import { joinHeads, splitHeads } from '../../heads.ts';
import type { KeyValue, Path } from '../../sites.ts';
import type { TowerSpec } from '../../tower-spec.ts';
import { reachOf, ropeTable } from '../rope-table.ts';
import { alibi, coarseAlibi } from './alibi.ts';
import type { DecoderConfig } from './config.ts';
import { mixtureOfExperts } from './experts.ts';
import { blockNorms, projectionOf, sinksOf } from './needs.ts';
import { type DecoderNames, type HalfNorms, type Traits, unusedPositions } from './record.ts';

/** The path of the table of tokens. */
export const tokenTableOf = ({ root, tokens }: DecoderNames): Path => `${root}.${tokens}`;

/** The path of the table of positions, of decoders that have one. */
export const positionTableOf = ({ root, positions }: DecoderNames): Path => `${root}.${positions}`;

const scaled = (x: Tensor, factor: number): Tensor => (factor === 1 ? x : mul(x, factor));

/** Cosines and sines of the positions of a pass. */
type Angles = readonly [cos: Tensor, sin: Tensor];

/** Additions to the scores of attention; null for none. */
type Bias = NonNullable<AttendOptions['bias']> | null;

/** The bias of a config's way to tell positions apart. */
const biasOf = ({ positions }: Traits, { heads, headDim }: DecoderConfig): Bias => {
  if (positions === 'coarse-alibi') return coarseAlibi(heads, headDim);
  return positions === 'alibi' ? alibi(heads) : null;
};

/** How a layer makes weights of scores. */
const attendOptions = (
  path: Path,
  { scoreScale, scoreCap, window, sinks }: Traits,
  layer: number,
  bias: Bias,
  { weights }: Forward,
): AttendOptions => {
  const width = window(layer);
  return {
    ...(bias && { bias }),
    ...(sinks && { sinks: reshape(weights(sinksOf(path)), [-1]) }),
    ...(scoreScale !== null && { scale: scoreScale }),
    ...(scoreCap !== null && { softCap: scoreCap }),
    ...(width !== null && { window: width }),
  };
};

const part = (x: Tensor, axis: number, start: number, end: number): Tensor => slice(x, { axis, start, end });

/** Values of heads [B, H, T, D] whose neighbours are half a head apart, or back. */
const reordered = (x: Tensor, back: boolean): Tensor => {
  const [batch, heads, tokens, width] = x.shape as readonly [number, number, number, number];
  const [rows, columns] = back ? [2, width / 2] : [width / 2, 2];
  const pairs = reshape(x, [batch, heads, tokens, rows, columns]);
  return reshape(transpose(pairs, [0, 1, 2, 4, 3]), [batch, heads, tokens, width]);
};

/** Queries and keys turned by position: the first values of each head. */
const rotated = (
  q: Tensor,
  k: Tensor,
  { rotaryDim, rotaryPairs }: Traits,
  angles: Angles,
): readonly [Tensor, Tensor] => {
  const width = q.shape[3]!;
  const first = (x: Tensor): Tensor => (rotaryDim === width ? x : part(x, 3, 0, rotaryDim));
  const whole = (turned: Tensor, x: Tensor): Tensor =>
    rotaryDim === width ? turned : concat(turned, part(x, 3, rotaryDim, width), { axis: 3 });
  if (rotaryPairs === 'halves') {
    const [turnedQ, turnedK] = ropePair(first(q), first(k), ...angles);
    return [whole(turnedQ, q), whole(turnedK, k)];
  }
  const [turnedQ, turnedK] = ropePair(reordered(first(q), false), reordered(first(k), false), ...angles);
  return [whole(reordered(turnedQ, true), q), whole(reordered(turnedK, true), k)];
};

/** Queries, keys and values of an attention before their heads are split: [batch, tokens, heads · headDim] each. */
type Projected = Readonly<Record<'query' | 'key' | 'value', Tensor>>;

/** A layer's outputs by heads of keys, each with its n queries, its key and its value, apart: [B, T, H · (n + 2) · D]. */
const headsApart = (x: Tensor, { heads, keyValueHeads, headDim }: DecoderConfig): Projected => {
  const [batch, tokens] = x.shape as readonly [number, number, number];
  const shared = heads / keyValueHeads;
  const byHead = reshape(x, [batch, tokens, keyValueHeads, shared + 2, headDim]);
  const from = (start: number, end: number): Tensor =>
    reshape(part(byHead, 3, start, end), [batch, tokens, keyValueHeads * (end - start) * headDim]);
  return { query: from(0, shared), key: from(shared, shared + 1), value: from(shared + 1, shared + 2) };
};

const projected = (
  path: Path,
  x: Tensor,
  config: DecoderConfig,
  { linear }: Forward,
  names: DecoderNames,
): Projected => {
  const { heads, keyValueHeads, headDim } = config;
  const of = (name: string): Tensor => linear(`${path}.${name}`, x);
  if (names.queryKeyValue === null) return { query: of(names.query), key: of(names.key), value: of(names.value) };
  const all = of(names.queryKeyValue);
  if (names.byHead) return headsApart(all, config);
  const [queries, keys] = [heads * headDim, keyValueHeads * headDim];
  return {
    query: part(all, 2, 0, queries),
    key: part(all, 2, queries, queries + keys),
    value: part(all, 2, queries + keys, queries + 2 * keys),
  };
};

const selfAttention =
  (
    path: Path,
    layer: number,
    config: DecoderConfig,
    traits: Traits,
    names: DecoderNames,
    angles: Angles | null,
    bias: Bias,
    forward: Forward,
  ) =>
  (x: Tensor): Tensor => {
    const { linear, norm, attend } = forward;
    const { query, key, value } = projected(path, x, config, forward, names);
    const split = (rows: Tensor): Tensor => splitHeads(rows, config.headDim);
    const normed = (name: string, rows: Tensor): Tensor => {
      if (traits.queryKeyNorms === 'by-head') return norm(`${path}.${name}`, split(rows));
      return split(traits.queryKeyNorms === null ? rows : norm(`${path}.${name}`, rows));
    };
    const [plainQ, plainK] = [normed(names.queryNorm, query), normed(names.keyNorm, key)];
    const [q, k] = angles ? rotated(plainQ, plainK, traits, angles) : [plainQ, plainK];
    const own: KeyValue = { k, v: split(value) };
    return linear(
      `${path}.${names.attnOut}`,
      joinHeads(attend(path, q, own, attendOptions(path, traits, layer, bias, forward))),
    );
  };

/** down(act(gate(x)) · up(x)), or down(act(up(x))) without a gate. Shazeer, 2020. https://arxiv.org/abs/2002.05202 */
const feedForward =
  (
    path: Path,
    { activation, intermediateSize }: DecoderConfig,
    { gated }: Traits,
    names: DecoderNames,
    { linear }: Forward,
  ) =>
  (x: Tensor): Tensor => {
    const act = activations[activation];
    const down = (h: Tensor): Tensor => linear(`${path}.${names.down}`, h);
    if (!gated) return down(act(linear(`${path}.${names.up}`, x)));
    if (names.gateUp === null)
      return down(mul(act(linear(`${path}.${names.gate}`, x)), linear(`${path}.${names.up}`, x)));
    const both = linear(`${path}.${names.gateUp}`, x);
    const [gate, up] = [part(both, 2, 0, intermediateSize), part(both, 2, intermediateSize, 2 * intermediateSize)];
    return down(mul(act(gate), up));
  };

/** The tower of a gated decoder: attention and an MLP by turns, each with its norms, added to the stream. */
export const decoderTower = (config: DecoderConfig, traits: Traits, names: DecoderNames): TowerSpec => {
  const { hiddenSize, heads, keyValueHeads, headDim } = config;
  const maxPositions = reachOf(config);
  const tokenTable = tokenTableOf(names);
  const [last, rowNorm] = [`${names.root}.${names.last}`, `${names.root}.${traits.rowNorm}`];
  const blocks = Array.from({ length: config.layers }, (_, i) => `${names.root}.${names.blocks}.${i}`);
  const attns = blocks.map((path) => `${path}.${names.attn}`);
  const mlps = blocks.map((path) => `${path}.${names.mlp === '' ? names.down : names.mlp}`);
  return {
    name: 'decoder',
    attends: 'before',
    normsSums: traits.norms.attn.sum !== undefined,
    tokenTable,
    tokenScale: traits.tokenScale,
    hiddenSize,
    heads,
    keyHeads: keyValueHeads,
    headDim,
    maxPositions,
    reads: { ids: 'ids', mask: 'mask' },
    paths: {
      embed: [tokenTable],
      block: blocks,
      attn: attns,
      mlp: mlps,
      norm: [
        ...(traits.rowNorm === null ? [] : [rowNorm]),
        ...blocks.flatMap((path) => blockNorms(traits).map((name) => `${path}.${name}`)),
        ...(traits.lastNorm ? [last] : []),
      ],
      heads: attns,
      kv: attns,
      head: [names.head],
    },
    positionTable: traits.positions === 'learned' ? positionTableOf(names) : null,
    firstPosition: unusedPositions,
    placesSeen: true,
    ...(maxPositions < config.maxPositions && { positionLimit: maxPositions }),
    ...(traits.tokenWidth !== hiddenSize && { widen: ({ linear }, x) => linear(projectionOf(names, 'in'), x) }),
    start: (forward, x) => {
      const rows = scaled(x, traits.rowScale);
      return traits.rowNorm === null ? rows : forward.norm(rowNorm, rows);
    },
    layers: (forward) => {
      const anglesOf = (rope: Rope): Angles => {
        const table = (name: 'cos' | 'sin'): Tensor =>
          forward.positionRows(
            (start, count, all) => ropeTable({ ...rope, maxPositions }, traits.rotaryDim, start, count, all)[name],
          );
        return [table('cos'), table('sin')];
      };
      const angles = traits.positions === 'rotary' ? anglesOf(config) : null;
      const local = config.localRope ? anglesOf(config.localRope) : angles;
      const bias = biasOf(traits, config);
      return (x, layer) => {
        const block = blocks[layer]!;
        const [attn, mlp] = [attns[layer]!, mlps[layer]!];
        const normed = new Map<string, Tensor>();
        /** The stream that half a block adds to, and what it adds, made of rows `h`; a norm that both halves share reads these once. */
        const half = (
          site: 'attn' | 'mlp',
          h: Tensor,
          core: (h: Tensor) => Tensor,
          { before, after, sum }: HalfNorms,
        ): readonly [stream: Tensor, added: Tensor] => {
          const read = before === null ? h : (normed.get(before) ?? forward.norm(`${block}.${before}`, h));
          if (before !== null) normed.set(before, read);
          const stream = traits.addsToRead ? read : h;
          const ofSum = sum === undefined ? undefined : (x: Tensor) => forward.norm(`${block}.${sum}`, x);
          const made = forward.at(site, site === 'attn' ? attn : mlp, core, stream, ofSum)(read);
          return [
            stream,
            scaled(after === null ? made : forward.norm(`${block}.${after}`, made), traits.residualScale),
          ];
        };
        const summed = ([stream, added]: readonly [Tensor, Tensor], { sum }: HalfNorms): Tensor => {
          const h = add(stream, added);
          return sum === undefined ? h : forward.norm(`${block}.${sum}`, h);
        };
        const turn = traits.window(layer) === null ? angles : local;
        const used = traits.rotates(layer) ? turn : null;
        const attention = selfAttention(attn, layer, config, traits, names, used, bias, forward);
        const { experts } = traits;
        const thought = experts?.at(layer)
          ? mixtureOfExperts(mlp, config, experts, names.router, forward)
          : feedForward(names.mlp === '' ? block : mlp, config, traits, names, forward);
        const first = half('attn', x, attention, traits.norms.attn);
        if (traits.parallel) return add(x, add(first[1], half('mlp', x, thought, traits.norms.mlp)[1]));
        const h = summed(first, traits.norms.attn);
        return summed(half('mlp', h, thought, traits.norms.mlp), traits.norms.mlp);
      };
    },
    finish: (forward, x) => {
      const y = traits.lastNorm ? forward.norm(last, x) : x;
      return traits.tokenWidth === hiddenSize ? y : forward.linear(projectionOf(names, 'out'), y);
    },
  };
};
