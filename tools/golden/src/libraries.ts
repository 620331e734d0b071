import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { choosing } from './choosing.ts';
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

/** Methods whose goldens are no adapters that are loaded: what they begin with (`starts.test.ts`, `loftq.test.ts`) is compared, and what they choose. */
const elsewhere: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.keys(choosing).map((name) => [name, 'torch'])),
  ...{ corda: 'PEFT', eva: 'PEFT', loftq: 'PEFT', loraGa: 'PEFT' },
};

/** The libraries that a method's goldens are of, by the method's name. */
export const goldenLibraries = (): ReadonlyMap<string, ReadonlySet<string>> => {
  const found = new Map<string, Set<string>>();
  const note = (method: string, library: string): unknown =>
    found.set(method, (found.get(method) ?? new Set()).add(library));
  for (const { name, formats } of goldens) note(formats[0]!.name, libraryOf(name));
  for (const { format } of ownFamilyAdapters) note(format.name, 'torch');
  for (const [method, library] of Object.entries(elsewhere)) note(method, library);
  return found;
};
