import type { Options } from 'tsup';
import ts from 'typescript';

type Plugin = NonNullable<Options['plugins']>[number];

/**
 * Marks every call that runs when a module is loaded as free of side effects, so that a bundler drops what its user
 * does not import (an unused op, another method) although it shares a file with what is used. It is sound by the
 * project's rule that importing a package has no side effect.
 */
export const pureCalls: Plugin = {
  name: 'pure-calls',
  renderChunk(code, chunk) {
    if (!chunk.path.endsWith('.js')) return;
    return { code: markPure(code), map: chunk.map ?? null };
  },
};

/** Puts `/* @__PURE__ *\/` before the calls and constructions in the initialisers of top-level declarations. */
export function markPure(code: string): string {
  const source = ts.createSourceFile('chunk.js', code, ts.ScriptTarget.Latest, false, ts.ScriptKind.JS);
  const positions: number[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) || ts.isClassLike(node)) return;
    if (ts.isCallExpression(node) || ts.isNewExpression(node)) positions.push(node.getStart(source));
    ts.forEachChild(node, visit);
  };
  for (const statement of source.statements) {
    if (ts.isVariableStatement(statement)) visit(statement);
  }
  let marked = code;
  for (const at of new Set(positions.sort((a, b) => b - a))) {
    if (/@__PURE__ \*\/ ?$/.test(marked.slice(0, at))) continue;
    marked = `${marked.slice(0, at)}/* @__PURE__ */ ${marked.slice(at)}`;
  }
  return marked;
}
