import { pythonPattern } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { covers, type Model, type Path, type Role, type Target, targeted } from '@peftjs/transformer';

/** Layers by a regular expression of Python's `re` over whole paths: the text that `target_modules` of Hugging Face PEFT may be. */
export interface PatternTarget {
  readonly pattern: string;
}

/** Layers by what they are for, whatever their paths are called. */
export interface RoleTarget {
  readonly roles: readonly Role[];
}

/** Which layers a method changes: names, a pattern, a predicate, `'all-linear'`, or roles: `{ roles: ['query', 'value'] }`. */
export type LayerTarget = Target | PatternTarget | RoleTarget;

/** Who asks, and whether each entry of a list must name a layer: in code it must, in a file one of them is enough, as in Hugging Face PEFT. */
export interface Asked {
  readonly method: string;
  readonly strict: boolean;
}

const isPlain = (target: LayerTarget): target is Target =>
  typeof target !== 'object' || Array.isArray(target) || target instanceof RegExp;

/** Whether a target names its layers by roles. */
export const isRoleTarget = (target: LayerTarget): target is RoleTarget => !isPlain(target) && 'roles' in target;

/** Whether a target is a pattern of a file. */
export const isPatternTarget = (target: LayerTarget): target is PatternTarget =>
  !isPlain(target) && 'pattern' in target;

/**
 * Linear layers that `all-linear` leaves out: outputs over the vocabulary, routers of experts, which are no linear layers to Hugging Face PEFT, what a
 * task trains whole, and what files hold as a convolution.
 */
const heads = (model: Model): ReadonlySet<Path> =>
  new Set([
    ...model.parts(['head', 'patch', 'pooling', 'router']).map(({ path }) => path),
    ...model.trainedHeads,
    'lm_head',
  ]);

const allLinear = (model: Model): Path[] => {
  const left = heads(model);
  return [...model.linears.keys()].filter((path) => !left.has(path));
};

/** Layers of roles. A fused layer is changed whole, so all that it does must be named. */
const ofRoles = (model: Model, { roles }: RoleTarget, method: string): Path[] => {
  const parts = model.parts(roles);
  if (parts.length === 0 || roles.length === 0)
    throw new PeftError(
      'no-match',
      `${method}: target: no layer of this model is for ${roles.join(', ') || 'no role'}`,
    );
  const paths = [...new Set(parts.map(({ path }) => path))];
  for (const path of paths) {
    const named = parts.filter((part) => part.path === path);
    const rows = named.reduce((n, { size }) => n + size, 0);
    const { outDim } = model.linears.get(path)!;
    if (rows < outDim)
      throw new PeftError(
        'no-match',
        `${method}: target: ${path} makes ${named.map(({ role }) => role).join(', ')} in ${rows} of its ${outDim} outputs, and a layer is changed whole. Name all roles that it has, or the layer itself.`,
      );
  }
  return paths;
};

const ofPattern = (paths: readonly Path[], { pattern }: PatternTarget, { method }: Asked): Path[] => {
  const { fullMatch } = pythonPattern(pattern, `${method}: target`);
  const found = paths.filter((path) => fullMatch(path));
  return found.length > 0 ? found : targeted(paths, [pattern], method);
};

/**
 * The paths that a target names among some, in the model's order. Throws `no-match` with what it could have named, `bad-option` for a
 * pattern that Python would not take.
 */
export const layersOf = (model: Model, target: LayerTarget, candidates: Iterable<Path>, asked: Asked): Path[] => {
  const pooling = new Set(model.parts(['pooling']).map(({ path }) => path));
  const found = namedBy(
    model,
    target,
    [...candidates].filter((path) => !pooling.has(path)),
    asked,
  );
  const [patch] = model.parts(['patch']).filter(({ path }) => found.includes(path));
  if (patch)
    throw new PeftError(
      'no-match',
      `${asked.method}: target: ${patch.path} is a convolution in files, whose adapters Hugging Face PEFT lays out in another way, which is not there; leave it out`,
    );
  return found;
};

const namedBy = (model: Model, target: LayerTarget, candidates: Iterable<Path>, asked: Asked): Path[] => {
  const all = [...candidates];
  const { method, strict } = asked;
  if (isRoleTarget(target)) return ofRoles(model, target, method).filter((path) => all.includes(path));
  if (isPatternTarget(target)) return ofPattern(all, target, asked);
  if (target === 'all-linear') return targeted(all, allLinear(model), method);
  if (!Array.isArray(target)) return targeted(all, target, method);
  const names: readonly string[] = target;
  const spread = names.flatMap((name) => (name === 'all-linear' ? allLinear(model) : [name]));
  const found = spread.filter((name) => all.some((path) => covers(name, path)));
  return targeted(all, strict || found.length === 0 ? spread : found, method);
};
