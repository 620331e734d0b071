import { broadcastTo, constant, PeftError, type Tensor } from '@peftjs/tensor';
import type { Around, AroundTable, Call, Model, Path, SiteCore, SiteName } from '@peftjs/transformer';
import { dryRun } from '../dry-run.ts';

/** The halves of a layer: attention with its residual sum, and all behind it. */
export interface Halves {
  first(x: Tensor, next: SiteCore<'block'>): Tensor;
  second(h: Tensor, next: SiteCore<'block'>): Tensor;
}

/** Middleware by path. */
const table = <S extends SiteName>(
  paths: Iterable<Path>,
  make: (path: Path) => Around<S>,
): ReadonlyMap<Path, Around<S>> => new Map([...paths].map((path) => [path, make(path)]));

/** One middleware at each path. */
const only = <S extends SiteName>(paths: Iterable<Path>, own: Around<S>): ReadonlyMap<Path, readonly Around<S>[]> =>
  new Map([...paths].map((path) => [path, [own]]));

/** Norms of what attention gives, and of its sum with the stream. Throws `no-match` where an MLP is beside attention. */
const normsOfSums = (model: Model): ReadonlySet<Path> => {
  const found = new Set<Path>();
  let normed: (readonly [path: Path, x: Tensor])[] = [];
  let begun: Tensor | null = null;
  const watching = <S extends 'block' | 'norm' | 'attn' | 'mlp'>(
    site: S,
    see: (path: Path, x: Tensor, call: Call) => void,
  ): ReadonlyMap<Path, readonly Around<S>[]> =>
    new Map(
      model.paths(site).map((path) => {
        const watch = (x: Tensor, next: (x: Tensor) => Tensor, call: Call): Tensor => {
          see(path, x, call);
          return next(x);
        };
        return [path, [watch as Around<S>]];
      }),
    );
  const around: AroundTable = {
    block: watching('block', (_, x) => {
      begun = x;
    }),
    attn: watching('attn', () => {
      normed = [];
    }),
    norm: watching('norm', (path, x) => normed.push([path, x])),
    mlp: watching('mlp', (path, _, { stream }) => {
      if (stream === begun)
        throw new PeftError(
          'no-match',
          `meft: ${path} is beside its layer's attention, so there are no halves; use kind 'layer' or 'adapter'`,
        );
      for (const [norm, read] of normed) if (read !== stream) found.add(norm);
    }),
  };
  dryRun(model.with({ around }));
  return found;
};

/** Whether h is made of `y` and constants alone. */
const isOf = (h: Tensor, y: Tensor): boolean => {
  const stack = [h.node];
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (node === y.node || node.kind === 'constant') continue;
    if (node.kind !== 'op') return false;
    for (const t of node.inputs) if (t) stack.push(t.node);
  }
  return true;
};

/** Thrown away: what stands for values that nothing reads. */
const nothing = (x: Tensor): Tensor => broadcastTo(constant(Float32Array.of(0), []), x.shape);

/** Throws `no-match` where attention adds to something else than what the layer is given, so that a second half could not begin there. */
const mustGoOn = (model: Model, norms: ReadonlySet<Path>): void => {
  let begun: Tensor | null = null;
  const around: AroundTable = {
    block: only<'block'>(model.paths('block'), (x, next) => {
      begun = x;
      return next(x);
    }),
    attn: only<'attn'>(model.paths('attn'), nothing),
    norm: only<'norm'>(norms, (x) => x),
    mlp: only<'mlp'>(model.paths('mlp'), (x, next, { stream }) => {
      if (isOf(stream!, begun!)) return next(x);
      throw new PeftError(
        'no-match',
        "meft: attention adds to something else than what its layer is given, so there are no halves; use kind 'layer' or 'adapter'",
      );
    }),
  };
  dryRun(model.with({ around }));
};

/**
 * The halves of every layer of a model, with the middleware that takes them apart: the whole layer is gone through each time, and what is not of the half is never computed. `attn` and `mlp` are around the sublayers. Throws `no-match`, and while a
 * pass is made `bad-option` where another method changes the stream between the halves.
 */
export const halvesOf = (
  model: Model,
  attn: (path: Path) => Around<'attn'>,
  mlp: (path: Path) => Around<'mlp'>,
): {
  readonly halves: Halves;
  readonly around: { readonly [S in 'attn' | 'mlp' | 'norm']: ReadonlyMap<Path, Around<S>> };
} => {
  const norms = normsOfSums(model);
  mustGoOn(model, norms);
  let half: 'first' | 'second' = 'first';
  let middle: Tensor | null = null;
  const run = (which: typeof half, x: Tensor, given: Tensor | null, next: SiteCore<'block'>): Tensor => {
    const before = [half, middle] as const;
    [half, middle] = [which, given];
    try {
      const y = next(x);
      return which === 'first' ? middle! : y;
    } finally {
      [half, middle] = before;
    }
  };
  return {
    halves: {
      first: (x, next) => run('first', x, null, next),
      second: (h, next) => run('second', h, h, next),
    },
    around: {
      attn: table<'attn'>(model.paths('attn'), (path) => {
        const own = attn(path);
        return (x, next, call) => (half === 'first' ? own(x, next, call) : nothing(x));
      }),
      norm: table<'norm'>(norms, () => (x, next) => (half === 'first' ? next(x) : x)),
      mlp: table<'mlp'>(model.paths('mlp'), (path) => {
        const own = mlp(path);
        return (x, next, call) => {
          if (half === 'second') {
            if (isOf(call.stream!, middle!)) return own(x, next, call);
            throw new PeftError(
              'bad-option',
              `meft: before ${path} another method changes the stream; list it on the other side of meft, or use kind 'layer' or 'adapter'`,
            );
          }
          middle = call.stream!;
          return nothing(x);
        };
      }),
    },
  };
};
