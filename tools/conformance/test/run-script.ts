import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A script that runs in a folder of its own. */
export interface Running {
  readonly folder: string;
  /** The output, once the process has ended well. */
  readonly output: Promise<string>;
  /** The first line that it prints. */
  readonly firstLine: Promise<string>;
  end(): void;
}

/** Runs TypeScript in a folder that is removed after the test, beside the files that `prepare` puts there. */
export const runScript = async (
  code: string,
  args: readonly string[] = [],
  prepare: (folder: string) => Promise<unknown> = async () => {},
): Promise<Running> => {
  // Within the workspace, so that its packages are found.
  const folder = await mkdtemp(join(dirname(import.meta.dirname), '.guide-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await prepare(folder);
  await writeFile(join(folder, 'script.mts'), code);
  const child = spawn(process.execPath, ['--conditions=@peftjs/source', '--import', 'tsx', 'script.mts', ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  const firstLine = new Promise<string>((done) =>
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
      if (out.includes('\n')) done(out.split('\n')[0]!);
    }),
  );
  child.stderr.setEncoding('utf8').on('data', (text: string) => void (err += text));
  const output = new Promise<string>((done, failed) =>
    child.on('close', (code) => (code === 0 ? done(out) : failed(new Error(`code ${code}\n${err}`)))),
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  return { folder, output, firstLine, end: () => void child.kill('SIGTERM') };
};
