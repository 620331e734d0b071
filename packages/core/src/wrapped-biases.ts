import { PeftError } from '@peftjs/tensor';
import type { State } from './method.ts';

/**
 * A file's tensors without the biases that Hugging Face PEFT saves beside those of modules that are trained whole, where it trains all biases (`bias="all"`):
 * `<path>.modules_to_save.bias`, the trained one again, and `<path>.original_module.bias`, which the trained one takes the place of. Throws `state-mismatch` where the first is not the same.
 */
export const withoutWrappedBiases = (state: State, method: string, wanted: ReadonlyMap<string, unknown>): State => {
  const kept = new Map(state);
  for (const [name, { data }] of state) {
    const [, path, wrapped] = /^(.*)\.(modules_to_save|original_module)\.bias$/.exec(name) ?? [];
    const own = path === undefined ? undefined : state.get(`${path}.bias`);
    if (!own || wanted.has(name) || !wanted.has(`${path}.bias`)) continue;
    if (wrapped === 'modules_to_save' && (own.data.length !== data.length || own.data.some((v, i) => v !== data[i])))
      throw new PeftError(
        'state-mismatch',
        `${method}: ${name} and ${path}.bias are one tensor, but have other values`,
      );
    kept.delete(name);
  }
  return kept;
};
