import type { Call, Model } from '@peftjs/transformer';
import type { Method, Patch, Scope } from '../method.ts';

/** A range [start, start + size) along an axis. */
export interface Range {
  readonly start: number;
  readonly size: number;
}

/**
 * The rows and the tokens of a batch that a block is given: all, or those of one part of the block around it. Blocks within see the rest as
 * well, as every part is computed for all and then chosen, but number what is theirs.
 */
export interface Window {
  /** Null where the block's rows do not lie side by side. */
  readonly rows: ((call: Call) => Range) | null;
  /** Whether the rows are the whole batch. */
  readonly wholeBatch: boolean;
  /** Null for all tokens, however many. */
  readonly tokens: Range | null;
}

/** All rows and tokens. */
export const wholeWindow: Window = {
  rows: ({ pass }) => ({ start: 0, size: pass.batch }),
  wholeBatch: true,
  tokens: null,
};

type AttachWithin = (model: Model, scope: Scope, window: Window) => Patch;

const blocks = new WeakMap<Method, AttachWithin>();

/** Notes how a block is attached within another. */
export const noteBlock = (method: Method, attach: AttachWithin): Method => {
  blocks.set(method, attach);
  return method;
};

/** A part of a block attached in the window that the block gives it. */
export const attachWithin = (method: Method, model: Model, scope: Scope, window: Window): Patch =>
  blocks.get(method)?.(model, scope, window) ?? method.attach(model, scope);
