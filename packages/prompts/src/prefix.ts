import { type Gate, type Option, type Patch, requireOneTower, type Scope } from '@peftjs/core';
import {
  broadcastTo,
  concat,
  concatAll,
  constant,
  mul,
  PeftError,
  reshape,
  slice,
  type Tensor,
  transpose,
} from '@peftjs/tensor';
import type { Around, KeySite, KeyValue, Model, Path, Tower } from '@peftjs/transformer';

/** Attentions of one kind in a tower, those of its layers that are in sight. */
export interface Attentions {
  readonly tower: Tower;
  readonly site: KeySite;
  /** At least one, in the order of the layers. */
  readonly paths: readonly Path[];
}

/** Whether a decoder reads an encoder. */
export const readsEncoder = ({ main }: Model): boolean => main.paths('crossKv').length > 0;

/** A tower's attentions at a site. Throws `no-match` where none is in sight. */
export const attentionsAt = (model: Model, tower: Tower, site: KeySite): Attentions => {
  const inSight = model.paths(site);
  const paths = tower.paths(site).filter((path) => inSight.includes(path));
  if (paths.length === 0) throw new PeftError('no-match', 'prefix: this part of the model has no attention');
  return { tower, site, paths };
};

/**
 * The attentions over its own rows of the tower that the task reads: of an encoder-decoder those of the decoder. Throws `no-match` where none is in sight, `bad-option` for towers that stand side by
 * side.
 */
export const ownAttentions = (model: Model, method: string): Attentions => {
  if (!readsEncoder(model)) requireOneTower(model, method);
  return attentionsAt(model, model.main, 'kv');
};

/** Values per token in one layer's keys: heads · headDim, of the heads that grouped queries share. */
export const keyWidth = ({ keyHeads, headDim }: Tower): number => keyHeads * headDim;

/** Values per token in the keys and values of all layers. */
export const prefixWidth = ({ tower, paths }: Attentions): number => paths.length * 2 * keyWidth(tower);

/** Which keys and values of a prefix a layer has, by its number. */
export type PairOf = (layer: number) => number;

/**
 * How Hugging Face PEFT gives the keys and values of a prefix to the layers: in their order; but in an encoder-decoder, whose prefix it repeats and splits in parts of four, to layer i of L those of
 * number 2i mod L. So half of them are never read where L is even, and two layers share each of the others.
 */
export const peftPairs = (model: Model, { paths }: Attentions): PairOf =>
  readsEncoder(model) ? (layer) => (2 * layer) % paths.length : (layer) => layer;

/**
 * The option `submodules` of prefixes: for how many towers their file says that they are. Hugging Face PEFT writes 2 for an encoder-decoder, though the decoder alone has the prefix.
 */
export const prefixSubmodules: Option<number> = {
  key: 'num_transformer_submodules',
  fallback: (model) => (readsEncoder(model) ? 2 : 1),
  expected: '1, or 2 for an encoder-decoder',
  accepts: (v) => v === 1 || v === 2,
};

/** Refuses files for another number of towers, of which PEFT makes something else. Throws `bad-option`. */
export const checkSubmodules = (model: Model, method: string, submodules: number): void => {
  const wanted = readsEncoder(model) ? 2 : 1;
  if (submodules === wanted) return;
  throw new PeftError(
    'bad-option',
    wanted === 2
      ? `${method}: submodules must be 2 in an encoder-decoder, got 1 (num_transformer_submodules); with 1 PEFT lets the attention to the encoder read the decoder's keys too, which is not computed here`
      : `${method}: submodules must be 1 in a model of one tower, got 2 (num_transformer_submodules)`,
  );
};

/** How far the keys and the values of a prefix count. */
export interface Gates {
  readonly keys: Gate;
  readonly values: Gate;
}

/** How a prefix lies and counts. */
export interface PrefixOptions {
  /** Default: the layers' order. */
  readonly pairOf?: PairOf;
  /**
   * Of an attention's path: how far its keys and values count, [batch, 1, 1] of each sequence, or [batch, 1, m] of each of its keys, by which keys
   * and values are multiplied. Default: wholly.
   */
  readonly gateAt?: ((attention: Scope) => Gates) | null;
}

/**
 * A patch that puts m keys and m values before those of the tokens in every layer. rows [m, layers · 2 · keyWidth]: of each layer its
 * keys, then its values, as Hugging Face PEFT and the adapters library have them. No mask hides them.
 */
export const prefixInFront = (
  { tower, site, paths }: Attentions,
  scope: Scope,
  rows: Tensor,
  { pairOf = (layer) => layer, gateAt = null }: PrefixOptions = {},
): Patch => {
  const { headDim, keyHeads } = tower;
  const [tokens] = rows.shape as readonly [number, number];
  const split = transpose(reshape(rows, [tokens, paths.length * 2, keyHeads, headDim]), [1, 2, 0, 3]);
  const inFront = (path: Path, layer: number): Around<KeySite> => {
    const gates = gateAt?.(scope.at(path));
    const first = 2 * pairOf(layer);
    return (own, next, call) => {
      const { pass } = call;
      const openOf = (gate: Gate): Tensor => reshape(gate(call.attended!, call), [pass.batch, 1, -1, 1]);
      const ofKeys = gates && openOf(gates.keys);
      const ofValues = gates && (gates.values === gates.keys ? ofKeys! : openOf(gates.values));
      const part = (at: number, open: Tensor | undefined): Tensor => {
        const one = slice(split, { axis: 0, start: at, end: at + 1 });
        return open ? mul(one, open) : broadcastTo(one, [pass.batch, ...one.shape.slice(1)]);
      };
      const { k, v } = next(own);
      return { k: concat(part(first, ofKeys), k, { axis: 2 }), v: concat(part(first + 1, ofValues), v, { axis: 2 }) };
    };
  };
  return { around: { [site]: new Map(paths.map((path, layer) => [path, inFront(path, layer)])) } };
};

/**
 * The keys and values that the model computes of some tokens, as rows of a prefix: attention is then as if they came before. A decoder reads them
 * beside an encoder that reads the same.
 */
export const activations = (
  model: Model,
  { paths }: Attentions,
  ids: Int32Array,
  pairOf: PairOf = (layer) => layer,
): Tensor => {
  const found = new Map<Path, KeyValue>();
  const watch: Around<'kv'> = (own, next, { path }) => {
    found.set(path, own);
    return next(own);
  };
  const watched = model.with({ around: { kv: new Map(paths.map((path) => [path, [watch]])) } });
  const tokens = constant(ids, [1, ids.length]);
  watched.states(Object.fromEntries(model.towers.map(({ reads }) => [reads.ids, tokens])));
  const layers = paths.map((_, i) => i);
  // Where several layers share keys and values it is the first of them; what no layer reads begins as its own.
  const readerOf = (pair: number): number => layers.find((layer) => pairOf(layer) === pair) ?? pair;
  const parts = layers
    .map((pair) => found.get(paths[readerOf(pair)]!)!)
    .flatMap(({ k, v }) => [k, v])
    .map((t) => transpose(t, [2, 0, 1, 3])); // [m, 1, heads, headDim] each
  return reshape(concatAll(parts, 1), [ids.length, -1]);
};
