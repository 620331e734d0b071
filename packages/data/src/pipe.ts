import type { Stage, Stream } from './stream.ts';

type Any = Stage<never, unknown>;

/** A stream through stages, in this order. Nothing is read before it is opened. */
export function pipe<A, B>(source: Stream<A>, a: Stage<A, B>): Stream<B>;
export function pipe<A, B, C>(source: Stream<A>, a: Stage<A, B>, b: Stage<B, C>): Stream<C>;
export function pipe<A, B, C, D>(source: Stream<A>, a: Stage<A, B>, b: Stage<B, C>, c: Stage<C, D>): Stream<D>;
export function pipe<A, B, C, D, E>(
  source: Stream<A>,
  a: Stage<A, B>,
  b: Stage<B, C>,
  c: Stage<C, D>,
  d: Stage<D, E>,
): Stream<E>;
export function pipe<A, B, C, D, E, F>(
  source: Stream<A>,
  a: Stage<A, B>,
  b: Stage<B, C>,
  c: Stage<C, D>,
  d: Stage<D, E>,
  e: Stage<E, F>,
): Stream<F>;
export function pipe<A, B, C, D, E, F, G>(
  source: Stream<A>,
  a: Stage<A, B>,
  b: Stage<B, C>,
  c: Stage<C, D>,
  d: Stage<D, E>,
  e: Stage<E, F>,
  f: Stage<F, G>,
): Stream<G>;
export function pipe<A, B, C, D, E, F, G, H>(
  source: Stream<A>,
  a: Stage<A, B>,
  b: Stage<B, C>,
  c: Stage<C, D>,
  d: Stage<D, E>,
  e: Stage<E, F>,
  f: Stage<F, G>,
  g: Stage<G, H>,
): Stream<H>;
export function pipe(source: Stream<unknown>, ...stages: readonly Any[]): Stream<unknown> {
  return stages.reduce((stream, stage) => stage(stream as Stream<never>), source);
}
