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

/** Whether an initialiser spreads an object or reads a property as the module is loaded, which bundlers take for side effects: a getter could run. */
const readsProperties = (node: ts.Node): boolean =>
  !ts.isFunctionLike(node) &&
  !ts.isClassLike(node) &&
  (ts.isSpreadAssignment(node) ||
    ts.isPropertyAccessExpression(node) ||
    (ts.forEachChild(node, (child) => readsProperties(child) || undefined) ?? false));

/**
 * Puts `/* @__PURE__ *\/` before the calls and constructions in the initialisers of top-level declarations; an initialiser that spreads an object or reads a property becomes the
 * result of such a call as a whole.
 */
export function markPure(code: string): string {
  const source = ts.createSourceFile('chunk.js', code, ts.ScriptTarget.Latest, false, ts.ScriptKind.JS);
  const positions: number[] = [];
  const wrapped: ts.Expression[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) || ts.isClassLike(node)) return;
    if (ts.isCallExpression(node) || ts.isNewExpression(node)) positions.push(node.getStart(source));
    ts.forEachChild(node, visit);
  };
  for (const statement of source.statements) {
    if (!ts.isVariableStatement(statement)) continue;
    visit(statement);
    for (const { initializer } of statement.declarationList.declarations)
      if (initializer && !ts.isFunctionLike(initializer) && readsProperties(initializer)) wrapped.push(initializer);
  }
  const insertions: (readonly [at: number, text: string])[] = [...new Set(positions)]
    .filter((at) => !/@__PURE__ \*\/ ?$/.test(code.slice(0, at)))
    .map((at) => [at, '/* @__PURE__ */ ']);
  for (const node of wrapped)
    insertions.push([node.getStart(source), '/* @__PURE__ */ (() => ('], [node.getEnd(), '))()']);
  // From the end, so that places stay; of two at one place the outer one is put in last.
  let marked = code;
  for (const [at, text] of insertions.toSorted(([a], [b]) => b - a))
    marked = marked.slice(0, at) + text + marked.slice(at);
  return marked;
}
