import { PeftError, type Tensor } from '@peftjs/tensor';
import type { Path, SiteCore, SiteName } from '@peftjs/transformer';

/** Sites whose outputs may be mixed. */
export type MixedSite = Exclude<SiteName, 'model'>;

/** Sites in which attention is made, whose keys and values are kept in one cache. */
const attending: readonly SiteName[] = ['block', 'attn', 'cross', 'heads', 'kv', 'crossKv'];

/**
 * `next` that runs once for each input: what is in it writes the cache. Throws `bad-option`, said by `who`, for a second input to attention.
 */
export const once = <S extends MixedSite>(who: string, site: S, path: Path, next: SiteCore<S>): SiteCore<S> => {
  const key = (x: unknown): string =>
    ('node' in (x as object) ? [x as Tensor] : Object.values(x as Record<string, Tensor>))
      .map((t) => `${t.node.id}.${t.index}`)
      .join();
  const known = new Map<string, ReturnType<typeof next>>();
  return (x) => {
    const found = known.get(key(x));
    if (found) return found;
    if (known.size > 0 && attending.includes(site))
      throw new PeftError(
        'bad-option',
        `${who}: at ${path} the adapters hand different inputs to attention, which keeps one cache for all rows; run each in a batch of its own`,
      );
    const y = next(x);
    known.set(key(x), y);
    return y;
  };
};
