import { join, relative } from 'node:path';
import ts from 'typescript';

/** The ways of resolving modules that a user's project may have set. */
export type Resolution = 'node16' | 'bundler';

const settings: Readonly<Record<Resolution, ts.CompilerOptions>> = {
  node16: { module: ts.ModuleKind.Node16, moduleResolution: ts.ModuleResolutionKind.Node16 },
  bundler: { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler },
};

/** What the compiler says: about each file of the user by its name, about anything else under ''. */
export type TypeErrors = Readonly<Record<string, readonly string[]>>;

/** Type-checks what users write, and with it the packages' declarations. The files are given by name. */
export function typeErrors(
  folder: string,
  files: Readonly<Record<string, string>>,
  resolution: Resolution,
): TypeErrors {
  const options: ts.CompilerOptions = {
    ...settings[resolution],
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.dom.d.ts'],
    strict: true,
    noEmit: true,
    skipDefaultLibCheck: true,
    types: ['node'],
    typeRoots: [join(import.meta.dirname, '../node_modules/@types')],
  };
  const host = ts.createCompilerHost(options);
  const sources = new Map(Object.entries(files).map(([name, text]) => [join(folder, name), text]));
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => sources.has(path) || fileExists(path);
  host.readFile = (path) => sources.get(path) ?? readFile(path);
  host.getSourceFile = (path, version, ...rest) => {
    const text = sources.get(path);
    return text === undefined ? getSourceFile(path, version, ...rest) : ts.createSourceFile(path, text, version, true);
  };
  const program = ts.createProgram([...sources.keys()], options, host);
  const errors: Record<string, string[]> = {
    '': [],
    ...Object.fromEntries(Object.keys(files).map((name) => [name, []])),
  };
  for (const { file, messageText } of ts.getPreEmitDiagnostics(program)) {
    const path = file ? relative(folder, file.fileName) : '';
    const message = ts.flattenDiagnosticMessageText(messageText, '\n');
    if (Object.hasOwn(files, path)) errors[path]!.push(message);
    else errors['']!.push(`${path}: ${message}`);
  }
  return errors;
}
