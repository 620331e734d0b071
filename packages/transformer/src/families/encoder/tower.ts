import { add, broadcastTo, concat, PeftError, reshape, slice, type Tensor } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import type { AttendOptions, Forward } from '../../forward.ts';
import { joinHeads, splitHeads } from '../../heads.ts';
import type { Path } from '../../sites.ts';
import type { TowerSpec } from '../../tower-spec.ts';
import { relativeBias } from '../relative-bias.ts';
import type { EncoderConfig } from './config.ts';
import { convolved } from './convolution.ts';
import { disentangled } from './disentangled.ts';
import { type BlockPaths, blocksOf, type EncoderRecord, embeddingPaths, hasPositions } from './record.ts';

/** How a block's scores become weights, made once a pass. */
type How = (block: BlockPaths, q: Tensor) => AttendOptions;

/** Queries, keys and values of a block: [batch, rows, d] each. */
const projected = (
  { query, key, value, fused }: BlockPaths,
  x: Tensor,
  { heads, headDim }: EncoderConfig,
  { linear, weights }: Forward,
): readonly [q: Tensor, k: Tensor, v: Tensor] => {
  if (!fused) return [linear(query, x), linear(key, x), linear(value, x)];
  const [batch, rows, width] = x.shape as readonly [number, number, number];
  const all = reshape(linear(query, x), [batch, rows, heads, 3, headDim]);
  const part = (start: number): Tensor => reshape(slice(all, { axis: 3, start, end: start + 1 }), [batch, rows, width]);
  return [add(part(0), weights(fused.queryBias)), part(1), add(part(2), weights(fused.valueBias))];
};

const selfAttention =
  (block: BlockPaths, config: EncoderConfig, how: How, forward: Forward) =>
  (x: Tensor): Tensor => {
    const [q, k, v] = projected(block, x, config, forward).map((rows) => splitHeads(rows, config.headDim)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    return forward.linear(block.out, joinHeads(forward.attend(block.attn, q, { k, v }, how(block, q))));
  };

const feedForward =
  ({ up, down }: BlockPaths, { activation }: EncoderConfig, { linear }: Forward) =>
  (x: Tensor): Tensor =>
    linear(down, activations[activation](linear(up, x)));

/** x with the rows of the tokens' types; rows in front, and all rows where no types are given, are of the first type. */
const addTypes = (x: Tensor, table: Path, { inputs, sequence, embedding, weights }: Forward): Tensor => {
  const { tokenTypes: types } = inputs;
  const [batch, rows, width] = x.shape as readonly [number, number, number];
  const first = reshape(slice(weights(table), { axis: 0, start: 0, end: 1 }), [width]);
  if (!types) return add(x, first);
  if (types.dtype !== 'i32' || types.shape.join() !== `${batch},${sequence.tokens}`)
    throw new PeftError(
      'bad-shape',
      `tokenTypes: must be i32 [${batch}, ${sequence.tokens}], one for each token, got ${types.dtype} [${types.shape}]`,
    );
  const own = embedding(table, types);
  const front = rows - sequence.tokens;
  return add(x, front > 0 ? concat(broadcastTo(first, [batch, front, width]), own, { axis: 1 }) : own);
};

const howOf = (record: EncoderRecord, config: EncoderConfig, forward: Forward): How => {
  const { relativeBias: of, disentangled: apart } = record;
  if (apart && config.disentangled) return disentangled(config.disentangled, config, apart, forward);
  if (!of) return () => ({});
  const { heads } = config;
  const made = new Map<string, Tensor>();
  const bias = (queries: number, keys: number): Tensor => {
    const sizes = `${queries} ${keys}`;
    const make = (): Tensor => relativeBias(forward.weights(of.table), { ...of, heads }, true, queries, keys, null);
    return made.get(sizes) ?? made.set(sizes, make()).get(sizes)!;
  };
  return () => ({ bias });
};

const checkConfig = ({ modelType, hiddenSize, heads, headDim }: EncoderConfig): void => {
  if (heads * headDim !== hiddenSize)
    throw new PeftError(
      'bad-config',
      `${modelType}: ${heads} heads of headDim ${headDim} do not make the hiddenSize ${hiddenSize}; heads · headDim must equal it`,
    );
};

/** The tower of a record's encoders. Throws `bad-config`. */
export const encoderTower = (record: EncoderRecord, config: EncoderConfig): TowerSpec => {
  checkConfig(config);
  const { hiddenSize, heads, headDim, layers, maxPositions, tokenTypes } = config;
  const { token, position, type, norm } = embeddingPaths(record);
  const blocks = blocksOf(record, config);
  const projection = record.projection?.(config);
  const attns = blocks.map(({ attn }) => attn);
  return {
    name: 'encoder',
    attends: 'all',
    normsSums: true,
    tokenTable: token,
    hiddenSize,
    heads,
    keyHeads: heads,
    headDim,
    maxPositions,
    reads: { ids: 'ids', mask: 'mask', ...(tokenTypes > 0 && { kinds: { tokenTypes } }) },
    paths: {
      embed: [token],
      block: blocks.map(({ block }) => block),
      attn: attns,
      mlp: blocks.map(({ mlp }) => mlp),
      norm: [norm, ...blocks.flatMap(({ attnNorm, mlpNorm }) => [attnNorm, mlpNorm])],
      heads: attns,
      kv: attns,
      head: [`${record.prefix}.encoder`],
    },
    positionTable: hasPositions(config) ? position : null,
    unplacedToken: record.unplacedToken?.(config) ?? null,
    order: Array.from({ length: layers }, (_, i) => Math.floor((i * blocks.length) / layers)),
    start: (forward, x) => {
      const embedded = forward.norm(norm, tokenTypes > 0 ? addTypes(x, type, forward) : x);
      return projection ? forward.linear(projection, embedded) : embedded;
    },
    layers: (forward) => {
      const how = howOf(record, config, forward);
      const { convolution: of } = config;
      const { convolution: modules } = record;
      return (x, index) => {
        const paths = blocks[index]!;
        const [attnNorm, mlpNorm] = [paths.attnNorm, paths.mlpNorm].map(
          (path) => (sum: Tensor) => forward.norm(path, sum),
        ) as [(sum: Tensor) => Tensor, (sum: Tensor) => Tensor];
        const attn = forward.at('attn', paths.attn, selfAttention(paths, config, how, forward), x, attnNorm);
        const h = attnNorm(add(attn(x), x));
        const mlp = forward.at('mlp', paths.mlp, feedForward(paths, config, forward), h, mlpNorm);
        const y = mlpNorm(add(mlp(h), h));
        return of && modules && index === 0 ? convolved(of, modules, x, y, forward) : y;
      };
    },
    finish: (_, x) => x,
  };
};
