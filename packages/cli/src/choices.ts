import type { Choices } from './completion.ts';

type Json = Readonly<Record<string, unknown>>;
type Words = readonly (readonly [word: string, about: string])[];

const plain = (words: readonly string[]): Words => words.map((word) => [word, '']);

/** `batchSize` as the flag `batch-size`. */
const flagOf = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

const partsOf = (schema: Json): readonly Json[] => [
  schema,
  ...((schema['anyOf'] ?? schema['oneOf'] ?? []) as readonly Json[]).flatMap(partsOf),
];

/** Fields of a schema as flags, those of objects with a point: `optimizer.rate`. Of methods the name alone, since each has others. */
const flagsIn = (schema: Json, path = ''): Words => {
  const found = new Map<string, string>();
  for (const { properties } of partsOf(schema))
    for (const [name, own] of Object.entries((properties ?? {}) as Readonly<Record<string, Json>>)) {
      if (path !== '' && name === 'name') continue;
      const flag = `${path}${flagOf(name)}`;
      found.set(flag, String(own['description'] ?? ''));
      if (path === '' && name !== 'method')
        for (const [inner, about] of flagsIn(own, `${flag}.`)) found.set(inner, about);
    }
  return [...found];
};

/** The values that a field of the schema may have, where they are few. */
const valuesIn = (schema: Json): Words =>
  plain([
    ...new Set(
      partsOf(schema)
        .flatMap((part) => (part['enum'] ?? (part['const'] === undefined ? [] : [part['const']])) as readonly unknown[])
        .map(String),
    ),
  ]);

/** The schema of a field, by its flag. */
const fieldAt = (schema: Json, flag: string): Json | null => {
  let now: readonly Json[] = [schema];
  for (const part of flag.split('.')) {
    const inner = now
      .flatMap(partsOf)
      .flatMap(({ properties = {} }) => Object.entries(properties as Readonly<Record<string, Json>>))
      .filter(([name]) => flagOf(name) === part)
      .map(([, own]) => own);
    if (inner.length === 0) return null;
    now = inner;
  }
  return now[0] ?? null;
};

/** The choices of what is typed: methods, recipes, formats, and all that the schema of a run lists. What is heavy is loaded where it is asked for. */
export const choicesFor = async (typed: readonly string[]): Promise<Choices> => {
  const command = typed[0] ?? '';
  const isRun = ['train', 'search'].includes(command);
  const schema = isRun || command === 'init' ? (await import('./config/json-schema.ts')).runJsonSchema() : null;
  const methods = isRun || ['init', 'methods'].includes(command) ? (await import('./methods.ts')).methods : null;
  const recipes = command === 'init' ? await (await import('./recipes.ts')).recipes() : [];
  const methodWords: Words = [...(methods?.values() ?? [])].map(({ name, about }) => [name, about]);
  const formats = plain(['int8', 'int4', 'nf4', 'fp4', 'fp8', 'hqq']);
  const known: Readonly<Record<string, Words>> = {
    recipe: recipes.map(({ name, about }) => [name, about]),
    quantize: formats,
    device: plain(['cpu', 'webgpu']),
    dtype: plain(['f32', 'f16', 'bf16']),
    to: plain(['onnx', 'gguf', 'gguf-adapter']),
    from: plain(['llama-factory', 'axolotl', 'mlx-lm']),
    shell: plain(['bash', 'zsh', 'fish']),
  };
  return {
    of: (name, word) => {
      if (word === 'method' || (name === 'methods' && word === 'name')) return methodWords;
      const field = isRun && schema ? fieldAt(schema, word) : null;
      return (field ? valuesIn(field) : []).length > 0 ? valuesIn(field!) : (known[word] ?? []);
    },
    runFlags: isRun && schema ? flagsIn(schema) : [],
  };
};
