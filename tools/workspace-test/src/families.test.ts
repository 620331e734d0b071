import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from './workspace.ts';

const home = 'packages/transformer/src/families';

/** Model types are those that the families' records name. */
const modelTypes = readdirSync(join(root, home), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .flatMap((path) => [...readFileSync(join(root, home, path), 'utf8').matchAll(/^ {2}modelType: '(\w+)',$/gm)])
  .map(([, name]) => name!);

/** Who may name one all the same, and why. */
const exceptions: readonly (readonly [where: RegExp, reason: string])[] = [
  [/(^|\/)test\/|\.test\.ts$|^packages\/transformer\/src\/testing\//, 'tests choose the models that they test'],
  [/^packages\/testkit\/src\/bases\.ts$/, 'the models on which the laws of all methods are checked'],
  [/^tools\/(golden|fuzz)\//, 'what Python computed is of models of certain types'],
  [/^packages\/gguf\/src\/(architectures|tokenizer-(json|cuts|metadata))\.ts$/, 'names that llama.cpp has'],
  [/^packages\/io\/src\/tokenizer\/by-class\.ts$/, 'classes of tokenizers that transformers takes for types of models'],
  [/^packages\/base-(model|vit)\/tools\/pretrain(-encoder|-seq2seq)?\.ts$/, 'they make the shipped models'],
  [/^packages\/bench\/src\/(roofline\/models|data\/random-model)\.ts$/, 'the models that are measured'],
  [/^packages\/adapters\/src\/init\.ts$/, 'the adapters library calls a way to draw first values "bert"'],
  [
    /^packages\/(core\/src\/(gradient-transform|objectives\/grpo)|trainer\/src\/optimizers\/clip)\.ts$/,
    'to clip is a word, too',
  ],
];

/** Sources below a folder. What is installed or built is not entered: links between packages there lead around for ever. */
const sourcesIn = (folder: string): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return /^(node_modules|dist|\..*)$/.test(entry.name) ? [] : sourcesIn(path);
    return entry.isFile() && /\.(m?[tj]s|tsx|html)$/.test(entry.name) ? [path] : [];
  });

const sources = ['packages', 'apps', 'tools'].flatMap(sourcesIn);

/** The model types that a text has as whole strings. */
const namedIn = (text: string): readonly string[] =>
  [...text.matchAll(/(['"`])([\w-]+)\1/g)].flatMap(([, , word]) => (modelTypes.includes(word!) ? [word!] : []));

const naming = sources
  .filter((path) => !path.startsWith(`${home}/`))
  .flatMap((path) => (namedIn(readFileSync(join(root, path), 'utf8')).length > 0 ? [path] : []));

describe('model types', () => {
  test('are those of the families', () =>
    expect(modelTypes).toEqual(expect.arrayContaining(['bert', 'gpt2', 'llama', 'qwen2', 't5'])));

  test('are named by the families alone', () =>
    expect(naming.filter((path) => !exceptions.some(([where]) => where.test(path)))).toEqual([]));

  test('are named wherever an exception says so', () =>
    expect(exceptions.filter(([where]) => !naming.some((path) => where.test(path)))).toEqual([]));

  test('are seen in strings of every kind, and nowhere else', () =>
    expect(namedIn('const a = "bert", b = `t5`; // llama\nif (type === \'gpt2\') "camembert"')).toEqual([
      'bert',
      't5',
      'gpt2',
    ]));
});
