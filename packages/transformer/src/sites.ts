import type { Tensor } from '@peftjs/tensor';
import type { Call } from './pass.ts';
import type { Inputs, States } from './states.ts';

/** A module path as Hugging Face's transformers names it: `model.layers.3.self_attn.q_proj`. */
export type Path = string;

/** Keys (already rotated) and values of one attention layer: [batch, kvHeads, keys, headDim] each. */
export interface KeyValue {
  readonly k: Tensor;
  readonly v: Tensor;
}

/**
 * The points of the forward pass that a method may wrap: what goes in, what comes out.
 * - `model` (at the empty path): the named inputs of the whole pass -> the states of all towers. `next` may be called twice: two looks.
 * - `embed` (at the token embedding): ids i32 [B,T], or pixels [B,C,H,W], -> [B,T,d]. Rows may be put before the tokens' (soft prompts): masks and
 *   positions are extended, and the rows are dropped again after `head`.
 * - `block` (`model.layers.3`): the residual stream [B,T,d] before a layer -> after it.
 * - `attn`, `cross`, `mlp` (`model.layers.3.self_attn`, `.mlp`): the input of a sublayer -> its output, before the residual sum. `cross` is
 *   the attention of a decoder over an encoder's states; it has no paths where there is no encoder.
 * - `heads` (the attention's path): the queries [B,H,T,D] of an attention over its tower's own rows, already rotated -> what its heads give,
 *   [B,H,T,D], before the output projection. `next` attends, through `kv`.
 * - `norm` (the norm's own path): [B,T,d] -> normalised.
 * - `kv`, `crossKv` (the attention's path): keys and values on their way to attention. `next` takes them through the cache: what is done
 *   before it is stored with the token; what is done after it (a prefix in front) happens at every pass, over all keys so far.
 * - `head` (`lm_head`): the stream after the last block -> what the task's head reads; `next` is the final norm, where there is one.
 */
export interface Sites {
  model: { in: Inputs; out: States };
  embed: { in: Tensor; out: Tensor };
  block: { in: Tensor; out: Tensor };
  attn: { in: Tensor; out: Tensor };
  cross: { in: Tensor; out: Tensor };
  mlp: { in: Tensor; out: Tensor };
  heads: { in: Tensor; out: Tensor };
  norm: { in: Tensor; out: Tensor };
  kv: { in: KeyValue; out: KeyValue };
  crossKv: { in: KeyValue; out: KeyValue };
  head: { in: Tensor; out: Tensor };
}
export type SiteName = keyof Sites;

/** All sites, in the order of a forward pass. */
export const siteNames: readonly [
  'model',
  'embed',
  'block',
  'norm',
  'attn',
  'heads',
  'kv',
  'cross',
  'crossKv',
  'mlp',
  'head',
] = ['model', 'embed', 'block', 'norm', 'attn', 'heads', 'kv', 'cross', 'crossKv', 'mlp', 'head'];

/** Sites that take a stream [B,T,d] and give one. */
export type StreamSite = 'block' | 'attn' | 'cross' | 'mlp' | 'norm' | 'head';

/** All of those. */
export const streamSites: readonly StreamSite[] = ['block', 'norm', 'attn', 'cross', 'mlp', 'head'];

/** Sites of keys and values. */
export type KeySite = 'kv' | 'crossKv';

/** The paths of every site, in the order of the forward pass. */
export type PathTable = { readonly [S in SiteName]?: readonly Path[] };

/** A site's core: its output, given what goes in. */
export type SiteCore<S extends SiteName> = (x: Sites[S]['in']) => Sites[S]['out'];

/** Middleware at one site: calls `next` once, never, or with changed input. */
export type Around<S extends SiteName> = (x: Sites[S]['in'], next: SiteCore<S>, call: Call) => Sites[S]['out'];

/** Middleware by site and path, innermost first. */
export type AroundTable = { readonly [S in SiteName]?: ReadonlyMap<Path, readonly Around<S>[]> };

/** `core` with the middlewares around it; later ones wrap earlier ones. */
export const runAround = <S extends SiteName>(
  chain: readonly Around<S>[],
  core: SiteCore<S>,
  call: Call,
): SiteCore<S> => chain.reduce<SiteCore<S>>((next, around) => (x) => around(x, next, call), core);

/** The middlewares of both tables, those of `outer` around those of `inner`. */
export const stackAround = (inner: AroundTable, outer: AroundTable): AroundTable => {
  const sites = [...new Set([...Object.keys(inner), ...Object.keys(outer)])] as SiteName[];
  const chains = (table: AroundTable, site: SiteName): ReadonlyMap<Path, readonly unknown[]> =>
    table[site] ?? new Map();
  return Object.fromEntries(
    sites.map((site) => {
      const [a, b] = [chains(inner, site), chains(outer, site)];
      const paths = new Set([...a.keys(), ...b.keys()]);
      return [site, new Map([...paths].map((path) => [path, [...(a.get(path) ?? []), ...(b.get(path) ?? [])]]))];
    }),
  ) as AroundTable;
};
