import type { DType, Shape, Tensor } from '@peftjs/tensor';
import { renamedCache } from './kv-cache.ts';
import type { PassOptions } from './model.ts';
import type { KeysOf } from './rows-alone.ts';
import type { Path, SiteCore } from './sites.ts';
import type { Inputs } from './states.ts';
import type { Tower } from './tower.ts';

/** A typed place in a pass, for what one part of a method leaves to another; make it once, beside the method: `slot<Tensor>('router')`. */
export interface Slot<T> {
  readonly name: string;
  /** Carries the type alone. */
  readonly type?: T;
}

/** A new slot; two of the same name are two. */
export const slot = <T>(name: string): Slot<T> => ({ name });

/**
 * The beginning of the names under which a pass has what it leaves in its cache: of methods that go through the whole model twice, each look keeps keys and values of its own. Default none.
 */
export const cachedUnder: Slot<string> = slot('cached under');

/**
 * Whether a pass goes on without its cache for now: a look before that which counts, of methods that keep what they saw, leaves no keys and values. Default false.
 */
export const uncached: Slot<boolean> = slot('uncached');

/** One forward pass, with the same slots at every site and in every layer of it. */
export interface Pass {
  /** As the caller gave them. */
  readonly inputs: Inputs;
  /** How many sequences there are: of the layer's own tower, where towers stand side by side. */
  readonly batch: number;
  /** Whether a training view makes it. */
  readonly training: boolean;
  /** As the caller gave them; what goes into the cache has names of this look (`cachedUnder`), and while the pass is `uncached` there is none: for a model beside this one that goes through the same tokens. */
  readonly options: PassOptions;
  /** The value that was put last; undefined where none was. */
  get<T>(slot: Slot<T>): T | undefined;
  put<T>(slot: Slot<T>, value: T): void;
  /**
   * A value that the sequences' earlier passes left in their cache; null in a first pass, and without a cache. Names are the method's own:
   * begin them with a path.
   */
  recall(name: string, shape: Shape, dtype?: DType): Tensor | null;
  /** Leaves a value to later passes; nothing happens without a cache. */
  keep(name: string, value: Tensor): void;
}

/** The sequences that a layer goes over in a pass: those of its tower, or of the tower whose rows cross-attention makes keys and values of. */
export interface Sequence {
  /** The name of the tower whose tokens they are. */
  readonly tower: string;
  /** Tokens of this pass; a site's x may have more rows, those put in front at `embed`. */
  readonly tokens: number;
  /** f32 [batch, keys], 1 to keep a token as a key, 0 to hide it; null keeps all. Rows that methods add are not counted in it. */
  readonly mask: Tensor | null;
  /** The tokens' positions as the caller gave them: i32 [tokens] or [batch, tokens]; null for 0, 1, 2, … */
  readonly positions: Tensor | null;
  /** Whether the tokens continue a sequence whose beginning is in a cache. */
  readonly continues: boolean;
}

/** Where a layer or a middleware runs. */
export interface Call {
  readonly pass: Pass;
  readonly path: Path;
  readonly tower: Tower;
  readonly sequence: Sequence;
  /** The layer's number in its tower; null outside the layers. */
  readonly layer: number | null;
  /** The residual stream that the output of `attn`, `cross` and `mlp` is added to: [B,T,d]; null at other sites. */
  readonly stream: Tensor | null;
  /** At these sites, the norm of the sum of both, in models whose norms come after their sublayers; null in others. */
  readonly norm: ((sum: Tensor) => Tensor) | null;
  /** At the sites `heads`, `kv` and `crossKv`: the rows that the attention reads, [B,T,d]; null at other sites. */
  readonly attended: Tensor | null;
  /**
   * At the site `block`, in towers whose rows see all others: `next` over some rows of x alone, by their numbers, i32 [B,k]: [B,k,d]; B·T is the number of no row (`takeRows`). All within is told of a
   * sequence of these rows, whose positions are their numbers. `keys`: whether its attentions see the keys and values of all rows, or of the chosen ones. For those of all `next` is called of x too, and
   * nothing else of that is computed. Throws `bad-option` where attention compares each row with the places of all others (DeBERTa). Null elsewhere, also where a row of input holds several texts.
   */
  readonly over: ((x: Tensor, rows: Tensor, keys: KeysOf, next: SiteCore<'block'>) => Tensor) | null;
  /** The output of a linear layer of this view, for rows of the method's own: keys of a prompt by the layer that makes those of the tokens. Throws `no-match`. */
  linear(path: Path, x: Tensor): Tensor;
}

/** A pass over inputs. */
export const makePass = (inputs: Inputs, batch: number, training: boolean, options: PassOptions): Pass => {
  const slots = new Map<Slot<unknown>, unknown>();
  const { cache, ...others } = options;
  const named = cache && renamedCache(cache, (name) => ((slots.get(cachedUnder) as string | undefined) ?? '') + name);
  const whole: PassOptions = named ? { ...options, cache: named } : options;
  return {
    inputs,
    batch,
    training,
    get options() {
      return slots.get(uncached) ? others : whole;
    },
    get: <T>(of: Slot<T>) => slots.get(of) as T | undefined,
    put: (of, value) => {
      slots.set(of, value);
    },
    recall: (name, shape, dtype = 'f32') => (named?.continues ? named.recall(name, shape, dtype) : null),
    keep: (name, value) => {
      if (!slots.get(uncached)) named?.keep(name, value);
    },
  };
};
