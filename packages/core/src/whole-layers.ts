import { PeftError } from '@peftjs/tensor';
import { denseLinear, type Model, type Norm, type Path } from '@peftjs/transformer';
import type { Patch, Scope } from './method.ts';

/** Whether a path is that of a module, the end of it after a dot, or lies within one of that name: `mlp` names all layers of the MLPs. */
export const isWithin = (module: string, path: Path): boolean => `.${path}.`.includes(`.${module}.`);

/** Hugging Face PEFT's rule for modules to save: a module's path ends so, with or without a dot; what it holds is saved too. */
const isSaved = (name: string, path: Path): boolean =>
  path
    .split('.')
    .map((_, i, parts) => parts.slice(0, i + 1).join('.'))
    .some((module) => module.endsWith(name));

/** Linear layers, norms and embeddings by the ends of their modules' paths, or of modules that hold them. Throws `no-match`. */
export const modulesOf = (
  { linears, norms, embeddings }: Model,
  names: readonly string[],
  { method, strict }: { readonly method: string; readonly strict: boolean },
): Path[] => {
  const all = [...embeddings.keys(), ...linears.keys(), ...norms.keys()];
  const missing = names.filter((name) => !all.some((path) => isSaved(name, path)));
  if (missing.length > 0 && (strict || missing.length === names.length))
    throw new PeftError(
      'no-match',
      `${method}: modulesToSave: there is no layer ${missing.join(', ')}; there are ${[...new Set(all.map((p) => p.replace(/\.\d+(?=\.)/g, '.*')))].join(', ')}`,
    );
  return all.filter((path) => names.some((name) => isSaved(name, path)));
};

/** A norm that is trained whole, from the base's values: its tensors are `weight` and, where it has one, `bias`, behind the beginning of a name. */
export const trainedNorm = (base: Norm, own: Scope, beginning = ''): Norm =>
  base.encode({
    weight: own.param(`${beginning}weight`, base.weight.shape, base.weight),
    bias: base.bias && own.param(`${beginning}bias`, base.bias.shape, base.bias),
  });

/**
 * A patch that trains layers whole, from the base's values: `modules_to_save` of Hugging Face PEFT, whose files have their tensors under the
 * layers' own names. A head over an embedding's table gets values of its own; the table stays.
 */
export const wholeLayers = (model: Model, paths: readonly Path[], scope: Scope): Patch => {
  const among = (parts: ReadonlyMap<Path, unknown>): Path[] => paths.filter((path) => parts.has(path));
  return {
    linear: new Map(
      among(model.linears).map((path) => [
        path,
        (base) => {
          const { weight, bias } = base.dense();
          const own = scope.at(path);
          return denseLinear({
            weight: own.param('weight', weight.shape, weight),
            bias: bias && own.param('bias', bias.shape, bias),
          });
        },
      ]),
    ),
    norm: new Map(among(model.norms).map((path) => [path, (base) => trainedNorm(base, scope.at(path))])),
    embedding: new Map(
      among(model.embeddings).map((path) => [
        path,
        (base) => base.encode(scope.at(path).param('weight', base.weight.shape, base.weight)),
      ]),
    ),
  };
};
