import { type Option, requireOneTower, type Scope } from '@peftjs/core';
import { attention, broadcastTo, PeftError, slice, type Tensor } from '@peftjs/tensor';
import { type Call, type Model, type Part, type Path, type Role, splitHeads } from '@peftjs/transformer';

/** An attention of a model, with its layers by role. */
export interface AttentionPlace {
  readonly path: Path;
  readonly key: Part;
  readonly value: Part;
  readonly out: Part;
}

/** The option `layers`: of how many of the last layers the attention reads a prompt. */
export const lastLayers: Option<number> = {
  key: 'adapter_layers',
  fallback: (model) => model.paths('heads').length,
  expected: 'a whole number of at least 1',
  accepts: (v) => Number.isSafeInteger(v) && (v as number) >= 1,
};

/** The attentions of the last `layers` layers. Throws `bad-option` where there are fewer, or several towers; `no-match` where none is in sight. */
export const lastAttentions = (model: Model, layers: number, method: string): readonly AttentionPlace[] => {
  requireOneTower(model, method);
  const paths = model.paths('heads');
  if (paths.length === 0) throw new PeftError('no-match', `${method}: this part of the model has no attention`);
  if (layers > paths.length)
    throw new PeftError(
      'bad-option',
      `${method}: layers is ${layers}, and there are ${paths.length}; give as many at most`,
    );
  const parts = model.parts(['key', 'value', 'attn-out']);
  return paths.slice(-layers).map((path) => {
    const of = (role: Role): Part => {
      const found = parts.find((part) => part.role === role && part.path.startsWith(`${path}.`));
      if (found) return found;
      throw new PeftError('no-match', `${method}: ${path} has no layer of role ${role} in this part of the model`);
    };
    return { path, key: of('key'), value: of('value'), out: of('attn-out') };
  });
};

/** The output of a part's layer for m rows of a prompt [1, m, d], the same for all sequences: [batch, its heads, m, headDim]. */
export const headsOf = (
  prompt: Tensor,
  { path, start, size }: Part,
  { pass, tower: { headDim }, linear }: Call,
): Tensor => {
  const [, m, d] = prompt.shape as readonly [number, number, number];
  const rows = slice(linear(path, broadcastTo(prompt, [pass.batch, m, d])), { axis: 2, start, end: start + size });
  return splitHeads(rows, headDim);
};

/** softmax(q·kᵀ/√headDim)·v with keys and values that an attention's own layers make of a prompt [1, m, d]; q [batch, heads, tokens, headDim]. Its positions turn no key. */
export const attendPrompt = (q: Tensor, prompt: Tensor, { key, value }: AttentionPlace, call: Call): Tensor =>
  attention(q, headsOf(prompt, key, call), headsOf(prompt, value, call), { causal: false });

/** A patch's scopes by attention. */
export const scopesOf = <T>(
  places: readonly AttentionPlace[],
  scope: Scope,
  make: (place: AttentionPlace, own: Scope) => T,
): readonly (readonly [Path, T])[] => places.map((place) => [place.path, make(place, scope.at(place.path))]);
