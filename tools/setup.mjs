// Installs the workspace where it is not installed yet. The first thing that `npm test` and `npm run demo` do, so it
// needs nothing but Node and npm: plain JavaScript, no dependency.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requireNode } from './node-version.mjs';

requireNode();

const { pinnedPnpm, root, runPnpm } = await import('./pnpm.mjs');
const stamp = join(root, 'node_modules', '.peftjs-setup');
const wanted = fingerprint();

if (installed() !== wanted) await install();

/** What an installation depends on: the lockfile, the workspace's settings, Node's major version and the platform. */
function fingerprint() {
  const hash = createHash('sha256');
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml']) hash.update(readFileSync(join(root, file)));
  const [major] = process.versions.node.split('.');
  return `${hash.digest('hex')} node-${major} ${process.platform}-${process.arch}\n`;
}

function installed() {
  return existsSync(stamp) ? readFileSync(stamp, 'utf8') : undefined;
}

async function install() {
  // Without the stamp an installation that is broken off is done again.
  rmSync(stamp, { force: true });
  process.stderr.write(
    `peftjs: installing the workspace with pnpm ${pinnedPnpm()}, about 1 GB of packages the first time\n`,
  );
  const progress = showProgress(process.stderr);
  const { status, output } = await runPnpm(
    ['install', '--frozen-lockfile', '--prefer-offline', '--prod=false', '--reporter=append-only'],
    progress.line,
  );
  progress.end();
  if (status !== 0) {
    process.stderr.write(
      `${output}\npeftjs: the installation failed; pnpm's own words are above. Needed: the network, or a filled pnpm store.\n`,
    );
    process.exit(1);
  }
  writeFileSync(stamp, wanted);
}

/** Shows how far pnpm is: on a terminal as one line that is rewritten, elsewhere as a line every few seconds. */
function showProgress(stream) {
  const every = stream.isTTY ? 100 : 10_000;
  let shown = performance.now();
  let isOpen = false;
  return {
    line(text) {
      const [, counts] = /^Progress: (.*?)(?:, done)?$/.exec(text) ?? [];
      if (counts === undefined || performance.now() - shown < every) return;
      shown = performance.now();
      const words = `peftjs: packages ${counts}`;
      stream.write(stream.isTTY ? `\r${words.slice(0, (stream.columns ?? 80) - 1)}\u001b[K` : `${words}\n`);
      isOpen = stream.isTTY === true;
    },
    end() {
      if (isOpen) stream.write('\n');
    },
  };
}
