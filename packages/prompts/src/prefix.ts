import { eachSite, type Gate, type Patch, requireOneTower, type Scope } from '@peftjs/core';
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
import type { Around, KeyValue, Model } from '@peftjs/transformer';

/** Values per token in one layer's keys: heads · headDim, of the heads that grouped queries share. */
export const keyWidth = ({ main }: Model): number => main.keyHeads * main.headDim;

/** How many layers of a model, or of the part of it in sight, have keys. Throws `no-match` where none has, `bad-option` for a model of several towers. */
export const prefixLayers = (model: Model): number => {
  requireOneTower(model, 'prefixTuning');
  const { length } = model.paths('kv');
  if (length === 0) throw new PeftError('no-match', 'prefix: this part of the model has no attention');
  return length;
};

/**
 * A patch that puts m keys and m values before those of the tokens in every layer. rows [m, layers · 2 · keyWidth]: of each layer its
 * keys, then its values, as Hugging Face PEFT and the adapters library have them. No mask hides them. `gateOf`, of an attention's path,
 * says how far they count: [batch, 1, 1] of each sequence, or [batch, 1, m] of each of its keys, by which keys and values are multiplied.
 */
export const prefixInFront = (
  model: Model,
  scope: Scope,
  rows: Tensor,
  gateAt: ((attention: Scope) => Gate) | null = null,
): Patch => {
  const { headDim, keyHeads } = model.main;
  const layers = prefixLayers(model);
  const tokens = rows.shape[0]!;
  const split = transpose(reshape(rows, [tokens, layers * 2, keyHeads, headDim]), [1, 2, 0, 3]);
  return eachSite(model, scope, 'kv', (attention, _path, layer) => {
    const gate = gateAt?.(attention);
    return (own, next, call) => {
      const { pass } = call;
      const open = gate && reshape(gate(call.attended!, call), [pass.batch, 1, -1, 1]);
      const part = (of: number): Tensor => {
        const one = slice(split, { axis: 0, start: 2 * layer + of, end: 2 * layer + of + 1 });
        return open ? mul(one, open) : broadcastTo(one, [pass.batch, ...one.shape.slice(1)]);
      };
      const { k, v } = next(own);
      return { k: concat(part(0), k, { axis: 2 }), v: concat(part(1), v, { axis: 2 }) };
    };
  });
};

/** The keys and values that the model computes of some tokens, as rows of a prefix: attention is then as if they came before. */
export const activations = (model: Model, ids: Int32Array): Tensor => {
  const found: KeyValue[] = [];
  const watch: Around<'kv'> = (own, next) => {
    found.push(own);
    return next(own);
  };
  const watched = model.with({ around: { kv: new Map(model.paths('kv').map((path) => [path, [watch]])) } });
  watched.states({ ids: constant(ids, [1, ids.length]) });
  const parts = found.flatMap(({ k, v }) => [k, v]).map((t) => transpose(t, [2, 0, 1, 3])); // [m, 1, heads, headDim] each
  return reshape(concatAll(parts, 1), [ids.length, -1]);
};
