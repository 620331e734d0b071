import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownFamilyAdapters } from './families.ts';
import { goldens } from './goldens.ts';

const pythonDir = join(import.meta.dirname, '../data/python');

/** Which library made a golden: each tells its layout by what the configuration holds. Types of our own are those of `own_methods.py` and `own_vision.py`. */
const libraryOf = (name: string): string => {
  const path = join(pythonDir, name, 'adapter/adapter_config.json');
  if (existsSync(path)) {
    const { peft_type: type } = JSON.parse(readFileSync(path, 'utf8')) as { readonly peft_type?: string };
    return type === undefined ? 'adapters' : type.startsWith('PEFTJS_') ? 'torch' : 'PEFT';
  }
  return existsSync(join(pythonDir, name, 'adapter')) ? 'adapters' : 'torch';
};

/** The libraries that a method's goldens are of, by the method's name. */
export const goldenLibraries = (): ReadonlyMap<string, ReadonlySet<string>> => {
  const found = new Map<string, Set<string>>();
  for (const { name, formats } of goldens) {
    const method = formats[0]!.name;
    found.set(method, (found.get(method) ?? new Set()).add(libraryOf(name)));
  }
  for (const { format } of ownFamilyAdapters)
    found.set(format.name, (found.get(format.name) ?? new Set()).add('torch'));
  return found;
};
