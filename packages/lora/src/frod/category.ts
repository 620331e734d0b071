import type { Path } from '@peftjs/transformer';

/**
 * The role of a layer by the last parts of its path, as Hugging Face PEFT names it: `self_attn_q_proj`. Layers of one role share a basis.
 */
export const categoryOf = (path: Path): string => {
  const parts = path.split('.');
  const [before, parent, name] = [parts.at(-3), parts.at(-2), parts.at(-1)!];
  if (parent === undefined || /^\d+$/.test(parent)) return name;
  if (before === 'attention' && parent === 'output' && name === 'dense') return 'attention_output';
  return `${parent}_${name}`;
};

/** The paths of each role, the roles in the order of their names. */
export const byCategory = (paths: readonly Path[]): ReadonlyMap<string, readonly Path[]> => {
  const groups = new Map<string, Path[]>();
  for (const path of paths) groups.set(categoryOf(path), [...(groups.get(categoryOf(path)) ?? []), path]);
  return new Map([...groups].sort(([a], [b]) => (a < b ? -1 : 1)));
};
