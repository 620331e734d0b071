import type { Engine } from '../cpu/engine.ts';

/** The calls of a host: to start with so many threads, or an engine's own. */
export type Call =
  | { readonly [K in keyof Engine]: { readonly name: K; readonly args: Parameters<Engine[K]> } }[keyof Engine]
  | { readonly name: 'start'; readonly args: readonly [threads: number] };

/** A call with its number. Every call is answered, in order. */
export type Request = Call & { readonly id: number };

/** The outcome of a call. */
export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string; readonly code: string | null };
