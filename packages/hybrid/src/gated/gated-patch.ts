import type { Gate, MiddlewareTable, Patch, Wraps } from '@peftjs/core';
import { PeftError, type Tensor } from '@peftjs/tensor';
import {
  type Around,
  type Call,
  type Embedding,
  type Linear,
  type Model,
  type Norm,
  type Path,
  streamSites,
} from '@peftjs/transformer';
import { blend, blendKeys } from './blend.ts';

/** Sites that hand on a stream: the gate weighs what the method changes of it, before and after. */
const gatedStream =
  (around: Around<'block'>, gate: Gate): Around<'block'> =>
  (x, next, call) => {
    const open = gate(x, call);
    let inner: Tensor | null = null;
    const out = around(
      x,
      (changed) => {
        inner = next(blend(x, changed, open));
        return inner;
      },
      call,
    );
    return blend(inner ?? next(x), out, open);
  };

const gatedKeys =
  (around: Around<'kv'>, gate: (call: Call) => Tensor): Around<'kv'> =>
  (own, next, call) => {
    const open = gate(call);
    let inner = own;
    const out = around(
      own,
      (changed) => {
        inner = next(blendKeys(own, changed, open));
        return inner;
      },
      call,
    );
    return blendKeys(inner, out, open);
  };

const gatedEmbedding =
  (around: Around<'embed'>, gate: Gate): Around<'embed'> =>
  (ids, next, call) => {
    const tokens = next(ids);
    return blend(
      tokens,
      around(ids, () => tokens, call),
      gate(tokens, call),
    );
  };

const noValues = (): never => {
  throw new PeftError('not-mergeable', 'gated: what a gate weighs depends on the input');
};

/** The gate of a place: its path, what it is (`layer` or the site), and the width of what the gate is given. */
export type GateOf = (path: Path, name: string, dim: number) => Gate;

/** A patch whose changes are weighed, each by a gate over the input of its layer or sublayer; of a token embedding by one over its rows. */
export const gatedPatch = (model: Model, patch: Patch, gateOf: GateOf): Patch => {
  if (patch.experts?.size)
    throw new PeftError(
      'bad-option',
      'gated: changes of experts cannot be weighed by a gate over a text, as their rows are of all texts; leave targetParameters out',
    );
  const layers = <T extends Linear | Norm>(wraps: Wraps<T> | undefined, more: Partial<T>): Wraps<T> =>
    new Map(
      [...(wraps ?? [])].map(([path, wrap]) => [
        path,
        (base: T): T => {
          const adapted = wrap(base);
          const gate = gateOf(path, 'layer', 'inDim' in base ? base.inDim : base.dim);
          return {
            ...adapted,
            ...more,
            apply: (x: Tensor, call: Call) => blend(base.apply(x, call), adapted.apply(x, call), gate(x, call)),
          };
        },
      ]),
    );
  const tables: Wraps<Embedding> = new Map(
    [...(patch.embedding ?? [])].map(([path, wrap]) => [
      path,
      (base: Embedding): Embedding => {
        const adapted = wrap(base);
        const gate = gateOf(path, 'layer', base.dim);
        return {
          ...adapted,
          apply: (ids, call) => {
            const rows = base.apply(ids, call);
            return blend(rows, adapted.apply(ids, call), gate(rows, call));
          },
        };
      },
    ]),
  );
  const each = <A, B>(
    table: ReadonlyMap<Path, A> | undefined,
    make: (around: A, path: Path) => B,
  ): ReadonlyMap<Path, B> => new Map([...(table ?? [])].map(([path, around]) => [path, make(around, path)]));
  const { around = {} } = patch;
  const streams = streamSites.map((site) => [
    site,
    each(around[site] as MiddlewareTable['block'], (of, path) =>
      gatedStream(of, gateOf(path, site, model.widthAt(path))),
    ),
  ]);
  return {
    ...patch,
    linear: layers(patch.linear, { dense: noValues, acrossRows: true }),
    norm: layers(patch.norm, {}),
    embedding: tables,
    around: {
      ...Object.fromEntries(streams),
      embed: each(around.embed, (of, path) => gatedEmbedding(of, gateOf(path, 'embed', model.widthAt(path)))),
      heads: each(around.heads as unknown as MiddlewareTable['block'], (of, path) => {
        const gate = gateOf(path, 'heads', model.widthAt(path));
        return gatedStream(of, (_, call) => gate(call.attended!, call));
      }),
      kv: each(around.kv, (of, path) => {
        const gate = gateOf(path, 'kv', model.widthAt(path));
        return gatedKeys(of, (call) => gate(call.attended!, call));
      }),
    },
  };
};
