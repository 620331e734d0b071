import type { Tensor } from '@peftjs/tensor';
import type { ForwardOptions } from './causal-lm.ts';

/** The path of a module as Hugging Face names it: `model.layers.3.self_attn.q_proj`. */
export type Path = string;

/** Keys (already rotated) and values of one attention layer: [batch, kvHeads, keys, headDim] each. */
export interface KeyValue {
  readonly k: Tensor;
  readonly v: Tensor;
}

/**
 * The points of the forward pass that a method may wrap: what goes in, what comes out.
 * - `embed` (at the token embedding): ids i32 [B,T] -> [B,T,d]. Rows may be put before the tokens' (soft prompts): masks and
 *   positions are extended, and the rows are dropped again after `head`.
 * - `block` (`model.layers.3`): the residual stream [B,T,d] before a layer -> after it.
 * - `attn`, `mlp` (`model.layers.3.self_attn`, `.mlp`): the normalised input of a sublayer -> its output, before the residual sum.
 * - `norm` (the norm's own path): [B,T,d] -> normalised.
 * - `kv` (the attention's path): keys and values on their way to attention. `next` takes them through the cache: what is done before
 *   it is stored with the token; what is done after it (a prefix in front) happens at every pass, over all keys so far.
 * - `head` (`lm_head`): the stream after the last block -> what the LM head reads; `next` is the final norm.
 */
export interface Sites {
  embed: { in: Tensor; out: Tensor };
  block: { in: Tensor; out: Tensor };
  attn: { in: Tensor; out: Tensor };
  mlp: { in: Tensor; out: Tensor };
  norm: { in: Tensor; out: Tensor };
  kv: { in: KeyValue; out: KeyValue };
  head: { in: Tensor; out: Tensor };
}
export type SiteName = keyof Sites;

/** One forward pass; the same object at every site, so a method that carries something from site to site keys a WeakMap with it. */
export interface Pass {
  /** i32 [batch, tokens] */
  readonly ids: Tensor;
  readonly batch: number;
  /** Tokens of this pass; a site's x may have more rows, those put in front at `embed`. */
  readonly tokens: number;
  /** f32 [batch, keys], 1 to keep a token as a key, 0 to hide it; null keeps all. Rows that methods add are not counted in it. */
  readonly keyMask: Tensor | null;
  /** The tokens' positions as the caller gave them: i32 [tokens] or [batch, tokens]; null for 0, 1, 2, … */
  readonly positions: Tensor | null;
  /** Whether the tokens continue a sequence whose beginning is in a cache. */
  readonly continues: boolean;
  /** As the caller gave them: for a model beside this one that goes through the same tokens. */
  readonly options: ForwardOptions;
}

/** Where a middleware runs. */
export interface SiteContext {
  readonly path: Path;
  /** The layer's number; null outside the layers. */
  readonly layer: number | null;
  /** The residual stream that the output of `attn` and `mlp` is added to: [B,T,d]; null at other sites. */
  readonly stream: Tensor | null;
  readonly pass: Pass;
}

/** What a site does, given what goes in. */
export type SiteCore<S extends SiteName> = (x: Sites[S]['in']) => Sites[S]['out'];

/** Middleware at one site: calls `next` once, never, or with changed input. */
export type Around<S extends SiteName> = (
  x: Sites[S]['in'],
  next: SiteCore<S>,
  context: SiteContext,
) => Sites[S]['out'];

/** Middleware by site and path, innermost first. */
export type AroundTable = { readonly [S in SiteName]?: ReadonlyMap<Path, readonly Around<S>[]> };

/** `core` with the middlewares around it; later ones wrap earlier ones. */
export const runAround = <S extends SiteName>(
  chain: readonly Around<S>[],
  core: SiteCore<S>,
  context: SiteContext,
): SiteCore<S> => chain.reduce<SiteCore<S>>((next, around) => (x) => around(x, next, context), core);

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
