// All that a change must pass, one after the other, with a summary: `pnpm check`. `pnpm check types tests` runs only
// those. A step that fails does not keep the others from telling what they find.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { root } from './pnpm.mjs';

const structure = '@peftjs/workspace-test';
const steps = {
  'format and lint': () => run('biome', ['check', '--error-on-warnings']),
  types: () => run('tsc', ['-p', '.']),
  imports: () => run('vitest', ['run', '--project', structure]),
  unused: () => run('knip', ['--no-config-hints']),
  build: () => run('turbo', ['run', 'build', '--output-logs=errors-only']),
  packages: lintPackages,
  tests: () => run(process.execPath, ['tools/test.mjs', '--project', `!${structure}`]),
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((word) => !Object.keys(steps).some((name) => name.includes(word)));
if (unknown.length > 0) {
  console.error(`check: no step is called ${unknown.join(', ')}; the steps are ${Object.keys(steps).join(', ')}`);
  process.exit(1);
}

const results = [];
for (const [name, step] of Object.entries(steps)) {
  if (wanted.length > 0 && !wanted.some((word) => name.includes(word))) continue;
  console.log(`\n== ${name}`);
  const start = performance.now();
  results.push({ name, ok: step(), seconds: (performance.now() - start) / 1000 });
}
console.log('');
for (const { name, ok, seconds } of results) {
  console.log(`${ok ? 'ok    ' : 'FAILED'}  ${name.padEnd(16)} ${seconds.toFixed(1).padStart(6)} s`);
}
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1;

/** Runs a tool of the workspace and tells whether it succeeded. A quiet one is heard only where it failed. */
function run(command, args, { cwd = root, quiet = false } = {}) {
  const path = [join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter);
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, PATH: path, TURBO_TELEMETRY_DISABLED: '1' },
    stdio: quiet ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32' && command !== process.execPath,
  });
  if (error) console.error(`check: ${command} does not start: ${error.message}`);
  if (quiet && status !== 0) console.error(`${command} ${args.join(' ')}\n${stdout}${stderr}`);
  return status === 0;
}

/** Every published package, packed as it would be published, seen with the eyes of publint and of attw. */
function lintPackages() {
  const folder = mkdtempSync(join(tmpdir(), 'peftjs-packages-'));
  const published = readdirSync(join(root, 'packages')).filter((id) => !manifest(id).private);
  const results = published.map((id) => {
    const archive = join(folder, `${id}.tgz`);
    return (
      run('pnpm', ['pack', '--out', archive], { cwd: join(root, 'packages', id), quiet: true }) &&
      [
        run('publint', ['run', archive, '--strict'], { quiet: true }),
        run('attw', [archive, '--profile', 'esm-only', '--format', 'ascii'], { quiet: true }),
      ].every(Boolean)
    );
  });
  rmSync(folder, { recursive: true, force: true });
  const good = published.filter((_, i) => results[i]);
  console.log(`${good.length} of ${published.length} packages are sound`);
  return good.length === published.length;
}

function manifest(id) {
  try {
    return JSON.parse(readFileSync(join(root, 'packages', id, 'package.json'), 'utf8'));
  } catch {
    // A folder without a package.json is not a package.
    return { private: true };
  }
}
