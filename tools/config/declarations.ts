import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { Options } from 'tsup';
import ts from 'typescript';
import { moduleSpecifiers } from './module-specifiers.ts';

type Plugin = NonNullable<Options['plugins']>[number];

/**
 * Writes the types of a package: for every source that `entries` reach a .d.ts at the same place below `dist`. Each is
 * made from its file alone, which `isolatedDeclarations` allows, so nothing is type-checked again and a package takes
 * milliseconds. Imports of `./file.ts` become `./file.js`, as `moduleResolution` node16 wants them.
 * Throws the compiler's words where an export lacks its type.
 */
export const declarations = (entries: readonly string[]): Plugin => ({
  name: 'declarations',
  async buildEnd() {
    const seen = new Set<string>();
    const waiting = [...entries];
    for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
      if (seen.has(file)) continue;
      seen.add(file);
      const { text, imported } = declarationOf(file, await readFile(file, 'utf8'));
      const target = join('dist', relative('src', file).replace(/\.ts$/, '.d.ts'));
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, text);
      for (const specifier of imported) waiting.push(join(dirname(file), specifier));
    }
  },
});

/** The declaration of one source file, and the files beside it that the declaration needs. */
export function declarationOf(file: string, source: string): { text: string; imported: readonly string[] } {
  const { outputText, diagnostics = [] } = ts.transpileDeclaration(source, {
    fileName: file,
    reportDiagnostics: true,
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      isolatedDeclarations: true,
      verbatimModuleSyntax: true,
      strict: true,
    },
  });
  if (diagnostics.length > 0) {
    const host = {
      getCanonicalFileName: (name: string) => name,
      getCurrentDirectory: process.cwd,
      getNewLine: () => '\n',
    };
    throw new Error(ts.formatDiagnostics(diagnostics, host));
  }
  const declaration = ts.createSourceFile('declaration.d.ts', outputText, ts.ScriptTarget.ES2023);
  const own = moduleSpecifiers(declaration).filter((literal) => /^\.{1,2}\/.*\.ts$/.test(literal.text));
  let text = outputText;
  for (const literal of own.toReversed()) {
    text = `${text.slice(0, literal.end - '.ts"'.length)}.js${text.slice(literal.end - 1)}`;
  }
  // The compiler drops references to types from a declaration, since one file does not tell whether it needs them.
  const references = source.match(/^\/\/\/ <reference types=.*$/gm) ?? [];
  return { text: [...references, text].join('\n'), imported: own.map((literal) => literal.text) };
}
