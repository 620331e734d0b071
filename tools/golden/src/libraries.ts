import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { goldens } from './goldens.ts';

const pythonDir = join(import.meta.dirname, '../data/python');

/** Which library made a golden: each tells its layout by what the configuration holds. */
const libraryOf = (name: string): string => {
  const config = join(pythonDir, name, 'adapter/adapter_config.json');
  if (existsSync(config)) return 'peft_type' in JSON.parse(readFileSync(config, 'utf8')) ? 'PEFT' : 'adapters';
  return existsSync(join(pythonDir, name, 'adapter')) ? 'adapters' : 'torch';
};

/** The libraries that a method's goldens are of, by the method's name. */
export const goldenLibraries = (): ReadonlyMap<string, ReadonlySet<string>> => {
  const found = new Map<string, Set<string>>();
  for (const { name, formats } of goldens) {
    const method = formats[0]!.name;
    found.set(method, (found.get(method) ?? new Set()).add(libraryOf(name)));
  }
  return found;
};
