// `pnpm new method FAMILY/NAME`: a method that works from its first line, with its export, its row of laws and a changeset.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { exportLine, fileNameOf, lawsRow, methodFile } from './new-method.mjs';
import { root } from './pnpm.mjs';

const families = ['adapters', 'hybrid', 'lora', 'multitask', 'prompts', 'scaling', 'selective'];
const usage = `usage: pnpm new method FAMILY/NAME
  FAMILY  one of ${families.join(', ')}
  NAME    the paper's name in lower camel: lora, prefixTuning`;

/** What a new method changes, as texts by path; throws an Error that says what is wrong. */
export const plan = (base, family, name) => {
  const at = (...parts) => join(base, 'packages', family, ...parts);
  if (!families.includes(family)) throw new Error(`there is no family ${family}; there are ${families.join(', ')}`);
  if (!/^[a-z][a-zA-Z0-9]*$/.test(name))
    throw new Error(`${name}: a name is the paper's in lower camel, as prefixTuning`);
  const file = at('src', `${fileNameOf(name)}.ts`);
  const changeset = join(base, '.changeset', `${fileNameOf(name)}.md`);
  for (const path of [file, changeset])
    if (existsSync(path)) throw new Error(`${relative(base, path)} is there already`);
  const [index, laws] = [at('src', 'index.ts'), at('test', 'laws.test.ts')];
  return new Map([
    [file, methodFile(name)],
    [index, withExport(readFileSync(index, 'utf8'), name)],
    [laws, withRow(readFileSync(laws, 'utf8'), name)],
    [changeset, `---\n'@peftjs/${family}': minor\n---\n\nNew method: ${name}.\n`],
  ]);
};

/** Export lines stay in the order of their files, as the formatter wants them. */
const withExport = (index, name) => {
  const from = (line) => /from '(.*)';$/.exec(line)?.[1] ?? '';
  const lines = [...index.trimEnd().split('\n'), exportLine(name)];
  // Where an export takes several lines the new one goes last.
  return `${(lines.every(from) ? lines.sort((a, b) => (from(a) < from(b) ? -1 : 1)) : lines).join('\n')}\n`;
};

const withRow = (laws, name) => {
  const end = laws.lastIndexOf('\n});');
  if (end < 0) throw new Error('test/laws.test.ts does not end with the table of describeMethods');
  return `${laws.slice(0, end + 1)}${lawsRow(name)}${laws.slice(end + 1)}`;
};

const main = ([kind, path = '', ...rest]) => {
  const [family = '', name = ''] = path.split('/');
  if (kind !== 'method' || !family || !name || rest.length > 0) throw new Error(usage);
  const texts = plan(root, family, name);
  for (const [file, text] of texts) {
    writeFileSync(`${file}.tmp`, text);
    renameSync(`${file}.tmp`, file);
    console.log(relative(root, file));
  }
  const format = [join(root, 'node_modules/@biomejs/biome/bin/biome'), 'check', '--write', ...texts.keys()];
  spawnSync(process.execPath, format, { cwd: root, stdio: 'ignore' });
  console.log(`\nIt scales outputs by 1 + v and passes its laws: npm test -- packages/${family}
Now write its formula, source and defaults, and the count of its parameters in its row.`);
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    main(process.argv.slice(2));
  } catch (error) {
    console.error(`new: ${error.message}`);
    process.exitCode = 1;
  }
}
