import {
  type AroundTable,
  type Gate,
  meanGate,
  mergePatches,
  type Patch,
  type Scope,
  type Wraps,
  watchPass,
} from '@peftjs/core';
import { PeftError, type Tensor } from '@peftjs/tensor';
import type { Around, CausalLM, Linear, Norm, Pass, Path } from '@peftjs/transformer';
import { blend, blendKeys } from './blend.ts';

const streamSites = ['block', 'attn', 'mlp', 'norm', 'head'] as const;

/** What a method changes of layers that are told of no pass, where none can be watched. */
const outside = (model: CausalLM, { linear, norm, embedding }: Patch): Path[] => {
  const inBlock = (path: Path): boolean => model.paths('block').some((block) => path.startsWith(`${block}.`));
  return [
    ...(embedding?.keys() ?? []),
    ...[linear, norm].flatMap((wraps) => [...(wraps?.keys() ?? [])].filter((path) => !inBlock(path))),
  ];
};

/** Sites that hand on a stream: the gate weighs what the method changes of it, before and after. */
const gatedStream =
  (around: Around<'block'>, gate: Gate): Around<'block'> =>
  (x, next, context) => {
    const open = gate(x, context.pass);
    let inner: Tensor | null = null;
    const out = around(
      x,
      (changed) => {
        inner = next(blend(x, changed, open));
        return inner;
      },
      context,
    );
    return blend(inner ?? next(x), out, open);
  };

const gatedKeys =
  (around: Around<'kv'>, gate: (pass: Pass) => Tensor): Around<'kv'> =>
  (own, next, context) => {
    const open = gate(context.pass);
    let inner = own;
    const out = around(
      own,
      (changed) => {
        inner = next(blendKeys(own, changed, open));
        return inner;
      },
      context,
    );
    return blendKeys(inner, out, open);
  };

const gatedEmbedding =
  (around: Around<'embed'>, gate: Gate): Around<'embed'> =>
  (ids, next, context) => {
    const tokens = next(ids);
    return blend(
      tokens,
      around(ids, () => tokens, context),
      gate(tokens, context.pass),
    );
  };

const noValues = (): never => {
  throw new PeftError('not-mergeable', 'gated: what a gate weighs depends on the input');
};

/** A patch whose changes are weighed, each by a gate over what goes into the layer or the sublayer. Throws `bad-option`. */
export const gatedPatch = (model: CausalLM, patch: Patch, scope: Scope): Patch => {
  const odd = outside(model, patch);
  if (odd.length > 0)
    throw new PeftError(
      'bad-option',
      `gated: layers outside of the blocks cannot be gated: ${odd.join(', ')}; leave them out of the target`,
    );
  const { hiddenSize } = model.config;
  const watch = watchPass(model);
  const layers = <T extends Linear | Norm>(wraps: Wraps<T> | undefined, more: Partial<T>): Wraps<T> =>
    new Map(
      [...(wraps ?? [])].map(([path, wrap]) => [
        path,
        (base: T): T => {
          const adapted = wrap(base);
          const gate = meanGate(scope.at(path), 'layer', 'inDim' in base ? base.inDim : base.dim);
          return {
            ...adapted,
            ...more,
            apply: (x: Tensor) => blend(base.apply(x), adapted.apply(x), gate(x, watch.current())),
          };
        },
      ]),
    );
  const each = <A, B>(
    table: ReadonlyMap<Path, A> | undefined,
    make: (around: A, path: Path) => B,
  ): ReadonlyMap<Path, B> => new Map([...(table ?? [])].map(([path, around]) => [path, make(around, path)]));
  const attended = new Map<Path, Tensor>(); // what each attention reads whose keys come next
  const { around = {} } = patch;
  const noted: Around<'attn'> = (x, next, { path }) => {
    attended.set(path, x);
    return next(x);
  };
  const streams = streamSites.map((site) => [
    site,
    each(around[site] as AroundTable['block'], (of, path) =>
      gatedStream(of, meanGate(scope.at(path), site, hiddenSize)),
    ),
  ]);
  const gated: Patch = {
    ...patch,
    linear: layers(patch.linear, { dense: noValues }),
    norm: layers(patch.norm, {}),
    around: {
      ...Object.fromEntries(streams),
      embed: each(around.embed, (of, path) => gatedEmbedding(of, meanGate(scope.at(path), 'embed', hiddenSize))),
      kv: each(around.kv, (of, path) => {
        const gate = meanGate(scope.at(path), 'kv', hiddenSize);
        return gatedKeys(of, (pass) => gate(attended.get(path)!, pass));
      }),
    },
  };
  const watched: Patch = { around: { ...watch.around, ...(around.kv && { attn: each(around.kv, () => noted) }) } };
  return mergePatches([watched, gated]);
};
