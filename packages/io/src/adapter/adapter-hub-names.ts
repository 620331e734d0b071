import type { AdapterTensor } from './tensors.ts';

/** The modules of adapter-hub/adapters whose children are called as the adapter is. */
const owners =
  '(?:adapters|loras|prefix_tunings|prefix_gates|prompt_tunings|shared_parameters|refts|invertible_adapters)';

/** The name that an adapter's tensors have here, whatever the file calls it. */
export const ownName = 'default';

const escaped = (name: string): string => name.replace(/[+]/g, '\\$&');

/** Tensors by name, with the adapter's name in them replaced; names without it go to `problems`. */
export const renamed = <T>(
  tensors: ReadonlyMap<string, T>,
  from: string,
  to: string,
  problems: string[],
): Map<string, T> => {
  const place = new RegExp(`(^|\\.)(${owners})\\.${escaped(from)}(?=\\.|$)`, 'u');
  const result = new Map<string, T>();
  for (const [name, tensor] of tensors) {
    if (!place.test(name)) problems.push(`${name} is not a tensor of the adapter ${from}`);
    result.set(name.replace(place, `$1$2.${to}`), tensor);
  }
  return result;
};

const isSame = (a: AdapterTensor, b: AdapterTensor): boolean =>
  String(a.shape) === String(b.shape) && a.data.length === b.data.length && a.data.every((v, i) => v === b.data[i]);

/**
 * The tensors without those that are there twice: each layer has the pool of prefixes as its own too. One that differs from what it should
 * repeat goes to `problems`.
 */
export const withoutAliases = (
  tensors: ReadonlyMap<string, AdapterTensor>,
  problems: string[],
): Map<string, AdapterTensor> => {
  const result = new Map<string, AdapterTensor>();
  for (const [name, tensor] of tensors) {
    // A T5 has no module around its towers.
    const [usual, bare] = ['$1.prefix_tuning.', 'prefix_tuning.'].map((own) =>
      name.replace(/^([^.]+)\..*\.prefix_tuning\.pool\./, own),
    ) as [string, string];
    const original = tensors.has(usual) || !tensors.has(bare) ? usual : bare;
    const first = tensors.get(original) ?? result.get(original) ?? tensor;
    if (!isSame(first, tensor)) problems.push(`${name} should be the same as ${original}`);
    if (!result.has(original)) result.set(original, first);
  }
  return result;
};
