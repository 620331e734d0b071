import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runScript } from './run-script.ts';

/** A few training steps, long enough for whatever starts beside them. */
const work = `
import { cpu } from '@peftjs/onnx';
import { compile, input, matmul, mul, sub, variable } from '@peftjs/tensor';
export const work = async (options) => {
  const executor = await cpu({ threads: 1, ...options });
  const w = variable('w', [64, 64], new Float32Array(4096).fill(0.5));
  const y = matmul(input('x', [64, 64]), w);
  const step = await compile({ outputs: { y }, updates: [[w, sub(w, mul(y, 1e-6))]] }, { executor });
  for (let i = 0; i < 20; i++) {
    await step.run({ x: new Float32Array(4096).fill(1) });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await executor.close();
};
`;

const inWorkerThread = `${work}
import { isMainThread, Worker } from 'node:worker_threads';
if (isMainThread) await new Promise((resolve) => new Worker(new URL(import.meta.url)).once('exit', resolve));
else await work();
if (isMainThread) console.log('done');
`;

/** Names by which a machine for tests says what it is; ONNX Runtime's telemetry is off there by itself. */
const ofContinuousIntegration =
  /^(CI|TF_BUILD|GITHUB_ACTIONS|GITLAB_CI|CIRCLECI|TRAVIS|JENKINS_URL|CODEBUILD_BUILD_ID|BUILDKITE|TEAMCITY_VERSION|APPVEYOR|BITBUCKET_BUILD_NUMBER|SYSTEM_TEAMFOUNDATIONCOLLECTIONURI|ORT_.*)$/;

/** Sockets to other machines that a process has open, by their number; none where the system doesn't tell. */
const internetSockets = (pid: number): string[] => {
  try {
    const known = ['tcp', 'tcp6', 'udp', 'udp6'].flatMap((kind) =>
      readFileSync(`/proc/${pid}/net/${kind}`, 'utf8')
        .split('\n')
        .map((line) => line.trim().split(/\s+/)[9]),
    );
    const open = readdirSync(`/proc/${pid}/fd`).map(
      (fd) => /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1],
    );
    return open.filter((inode): inode is string => inode !== undefined && known.includes(inode));
  } catch {
    return [];
  }
};

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'peftjs-guest-'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

/** Runs a script whose every folder is empty and whose way to the network ends here; tells what it left and whom it called. */
const host = async (script: string) => {
  const calls: string[] = [];
  const proxy = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (text) => {
      calls.push(`${text}`.split('\r\n')[0]!);
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const folders = {
    HOME: 'home',
    XDG_CACHE_HOME: 'cache',
    XDG_CONFIG_HOME: 'config',
    XDG_DATA_HOME: 'data',
    TMPDIR: 'temporary',
  };
  const env: NodeJS.ProcessEnv = { https_proxy: url, HTTPS_PROXY: url, ALL_PROXY: url };
  for (const [name, folder] of Object.entries({ ...folders, PWD: 'work' })) {
    env[name] = join(home, folder);
    await mkdir(env[name]);
  }
  const silent = Object.keys(process.env).filter((name) => ofContinuousIntegration.test(name));
  let timer: NodeJS.Timeout | undefined;
  const ended = await runScript(script, {
    cwd: env['PWD']!,
    env: { ...Object.fromEntries(silent.map((name) => [name, undefined])), ...env },
    watch: (pid) => {
      timer = setInterval(() => calls.push(...internetSockets(pid)), 5);
    },
  });
  clearInterval(timer);
  await new Promise((resolve) => proxy.close(resolve));
  const left = readdirSync(home, { recursive: true, encoding: 'utf8' });
  return { ended, calls, left: left.filter((path) => path.includes('/')) };
};

it.each([
  ['on the main thread', `${work}\nawait work();\nconsole.log('done');`],
  ['in a process beside it', `${work}\nawait work({ worker: true });\nconsole.log('done');`],
  ['in a worker thread', inWorkerThread],
])('a run %s calls nobody and leaves nothing behind', async (_, script) => {
  const { ended, calls, left } = await host(script);
  expect(ended).toMatchObject({ code: 0, stdout: 'done\n', stderr: '' });
  expect(calls).toEqual([]);
  expect(left).toEqual([]);
});
