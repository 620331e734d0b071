import type { Model } from '@peftjs/transformer';

const afterDot = (name: string): string => name.slice(name.indexOf('.') + 1);

/**
 * Our name of a tensor in files of adapter-hub/adapters: those of transformers 4, with the module that holds the towers or without it, as that library takes them too: a
 * `T5AdapterModel` has `transformer.` in front of what a `T5ForConditionalGeneration` has.
 */
export const hubName = (
  { layout }: Model,
  wanted: ReadonlyMap<string, unknown>,
  whole: (name: string) => string,
): ((name: string) => string) => {
  const byFile = new Map([...wanted.keys()].map((own) => [layout.nameInFile(own), own]));
  const shorter = new Map([...byFile].map(([name, own]) => [afterDot(name), own]));
  return (name) => byFile.get(name) ?? byFile.get(afterDot(name)) ?? shorter.get(name) ?? whole(name);
};
