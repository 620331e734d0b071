import type { Engine } from '../cpu/engine.ts';

/** What a host is asked to do: to start with so many threads, or what an engine does. */
export type Call =
  | { readonly [K in keyof Engine]: { readonly name: K; readonly args: Parameters<Engine[K]> } }[keyof Engine]
  | { readonly name: 'start'; readonly args: readonly [threads: number] };

/** A call with its number. Every call is answered, in order. */
export type Request = Call & { readonly id: number };

/** What came of a call. */
export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string; readonly code: string | null };
