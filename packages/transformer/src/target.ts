import { mustBe, PeftError, type Rule } from '@peftjs/tensor';
import type { Path } from './sites.ts';

/**
 * Which layers a method changes: `'all-linear'` (all but the output head and routers of experts), a name, a list of names, a pattern over whole paths, or a
 * predicate. A name is a path or its end after a dot (`q_proj`, `self_attn.q_proj`); `*` in it stands for anything.
 */
export type Target = 'all-linear' | (string & {}) | readonly string[] | RegExp | ((path: Path) => boolean);

/** The rule for a target among options that are checked before there is a model. */
export const targetRule: Rule = mustBe.such(
  'a target',
  (v) => typeof v === 'string' || Array.isArray(v) || v instanceof RegExp,
);

/** Whether a text is a pattern in which `*` stands for anything. Each part is looked for once, from left to right, so many stars take no more time. */
const globMatches = (pattern: string, text: string): boolean => {
  const [first = '', ...parts] = pattern.split('*');
  const last = parts.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
};

/** Whether a name stands for a path: the whole of it, or its end after a dot. */
export const nameMatches = (name: string, path: Path): boolean =>
  globMatches(name, path) || globMatches(`*.${name}`, path);

/** Whether `all-linear` leaves a layer out: language models' heads, and the routers of experts, which are no linear layers to Hugging Face PEFT. */
const isLeftOut = (path: Path): boolean => /^(lm_head|embed_out)$|\.mlp\.gate$/.test(path);

const isMatch = (entry: string, path: Path): boolean =>
  entry === 'all-linear' ? !isLeftOut(path) : nameMatches(entry, path);

const entriesOf = (target: Target): readonly ((path: Path) => boolean)[] => {
  if (typeof target === 'function') return [target];
  if (target instanceof RegExp)
    return [(path) => new RegExp(`^(?:${target.source})$`, target.flags.replace(/[gy]/g, '')).test(path)];
  return (typeof target === 'string' ? [target] : target).map((entry) => (path: Path) => isMatch(entry, path));
};

const nameOf = (target: Target, entry: number): string =>
  Array.isArray(target) ? `'${target[entry]}'` : typeof target === 'string' ? `'${target}'` : String(target);

/** Paths with their layer numbers folded, for messages: `model.layers.*.self_attn.q_proj`. */
const candidates = (paths: Iterable<Path>): string =>
  [...new Set([...paths].map((p) => p.replace(/\.\d+(?=\.|$)/g, '.*')))].join(', ');

/** Whether one of a target's entries names a path; an entry may name none. */
export const covers = (target: Target, path: Path): boolean => entriesOf(target).some((matches) => matches(path));

/**
 * The paths that a target names, in the model's order. Every entry of a list must name at least one: throws `no-match` with what it
 * could have matched.
 */
export const targeted = (paths: Iterable<Path>, target: Target, method: string): Path[] => {
  const all = [...paths];
  const entries = entriesOf(target);
  const missed = entries.flatMap((matches, i) => (all.some(matches) ? [] : [nameOf(target, i)]));
  if (entries.length === 0) missed.push('an empty list');
  if (missed.length > 0)
    throw new PeftError(
      'no-match',
      `${method}: target ${missed.join(', ')} matches no layer; there are ${candidates(all)}`,
    );
  return all.filter((path) => entries.some((matches) => matches(path)));
};
