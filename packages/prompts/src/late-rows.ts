import type { Patch } from '@peftjs/core';
import { concat, constant, PeftError, slice, type Tensor } from '@peftjs/tensor';
import { type Around, type Call, type Model, type Path, slot, tokenTableOf } from '@peftjs/transformer';
import { rowsInFront } from './soft-prompt.ts';

/** Middleware that hides the rows of late prompts from attention. */
const hides = new WeakSet<Around<'kv'>>();

/** How many rows all late prompts of a pass have in front of its tokens. */
const lateRows = slot<number>('late rows');

/** The attentions of the layers before the first of some, and the blocks. Throws `bad-option`, `no-match`. */
const placesOf = (model: Model, who: string, layers: readonly number[]) => {
  const [first, last] = [Math.min(...layers), Math.max(...layers)];
  const blocks = model.main.paths('block');
  const inSight = model.paths('block');
  if (model.main.order?.some((block, i) => block !== i))
    throw new PeftError('bad-option', `${who}: this model runs a block more than once, so no block has one place`);
  if (last >= blocks.length)
    throw new PeftError(
      'bad-option',
      `${who}: layer ${last} must be below the number of layers, ${blocks.length}; choose one of 0 to ${blocks.length - 1}`,
    );
  if (inSight.length < blocks.length)
    throw new PeftError('no-match', `${who}: this part of the model has not all blocks; give it the whole model`);
  const early = blocks.slice(0, first);
  const attentions = model.paths('kv').filter((path) => early.some((block) => path.startsWith(`${block}.`)));
  const foreign = attentions.some((path) => model.around.kv?.get(path)?.some((around) => !hides.has(around)));
  if (foreign)
    throw new PeftError('bad-option', `${who}: another method changes keys and values; attach it after ${who}`);
  return { attentions, blocks };
};

/** The rows that a block reads in front of its tokens: [batch, m, d], of its own rows [batch, m + tokens, d], those of before in front. */
export type LateRows = (x: Tensor, before: Tensor, call: Call) => Tensor;

/** Where late rows come from. */
export interface LateRowsOptions {
  /** Who asks, for errors. */
  readonly who: string;
  /** Rows m. */
  readonly length: number;
  /** Their maker, by the number of the block that reads them; blocks without one read the rows that the block before gives. */
  readonly rows: ReadonlyMap<number, LateRows>;
}

/**
 * A patch that puts m rows in front of the tokens once some layers have run, and again in front of later ones. Those layers read the text alone: until then zeros keep the rows' place, which their attention does not see. Tokens have the positions that they have
 * without the rows, which are at those before 0. What is in a cache is not made again. Several such patches stand one behind the other. Throws `bad-option` where layers share blocks, or have keys of other methods in front, and in a pass for rows of other methods; `no-match` in a part of a model.
 */
export const lateRowsInFront = (model: Model, { who, length, rows }: LateRowsOptions): Patch => {
  const { attentions, blocks } = placesOf(model, who, [...rows.keys()]);
  const { dim } = tokenTableOf(model, model.main, who);
  const held = rowsInFront(model, { length }, () => constant(new Float32Array(length * dim), [length, dim]));
  const [[site, inFront]] = [...held.around!.embed!] as [[string, Around<'embed'>]];
  /** Rows of late prompts that were attached before, which come after these. */
  const behind = slot<number>('late rows behind');
  const embed: Around<'embed'> = (ids, next, call) => {
    const { pass } = call;
    const known = pass.get(lateRows) ?? 0;
    return inFront(
      ids,
      (own) => {
        const x = next(own);
        pass.put(behind, pass.get(lateRows) ?? known);
        pass.put(lateRows, pass.get(behind)! + length);
        return x;
      },
      call,
    );
  };
  /** The first of these rows among `front` that are there. Throws `bad-option` where other methods have some too. */
  const start = (front: number, { pass }: Call): number => {
    const all = pass.get(lateRows)!;
    if (front === all) return all - pass.get(behind)! - length;
    throw new PeftError(
      'bad-option',
      `${who}: ${front - all} rows of another method stand in front of the tokens; use one of both`,
    );
  };
  const unseen: Around<'kv'> = (own, next, call) => {
    const { k, v } = next(own);
    const from = start(call.pass.get(lateRows)!, call);
    const without = (t: Tensor): Tensor => {
      const rest = slice(t, { axis: 2, start: from + length, end: t.shape[2]! });
      return from === 0 ? rest : concat(slice(t, { axis: 2, start: 0, end: from }), rest, { axis: 2 });
    };
    return { k: without(k), v: without(v) };
  };
  hides.add(unseen);
  const reads =
    (make: LateRows): Around<'block'> =>
    (x, next, call) => {
      if (call.sequence.continues) return next(x); // they are in the cache
      const from = start(x.shape[1]! - call.sequence.tokens, call);
      const part = (first: number, end: number): Tensor => slice(x, { axis: 1, start: first, end });
      const own = make(x, part(from, from + length), call);
      const rest = concat(own, part(from + length, x.shape[1]!), { axis: 1 });
      return next(from === 0 ? rest : concat(part(0, from), rest, { axis: 1 }));
    };
  return {
    around: {
      embed: new Map([[site, embed]]),
      kv: new Map<Path, Around<'kv'>>(attentions.map((path) => [path, unseen])),
      block: new Map<Path, Around<'block'>>([...rows].map(([layer, make]) => [blocks[layer]!, reads(make)])),
    },
    positionShift: -length,
  };
};
