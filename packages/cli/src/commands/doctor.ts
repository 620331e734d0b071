import { statfs } from 'node:fs/promises';
import { availableParallelism, freemem, totalmem } from 'node:os';
import { baseModelDir } from '@peftjs/base-model';
import { cpu } from '@peftjs/onnx';
import { type Executor, isPeftError } from '@peftjs/tensor';
import { webgpu } from '@peftjs/webgpu';
import type { Call } from '../commands.ts';
import { bytes, result } from '../context.ts';

/** One finding: what was looked at, how it is, and what to do where it is not well. */
interface Finding {
  readonly name: string;
  readonly state: 'good' | 'missing' | 'bad';
  readonly found: string;
  readonly remedy?: string;
}

const device = async (
  name: string,
  open: () => Promise<Executor>,
  without: Omit<Finding, 'name' | 'found'>,
): Promise<Finding> => {
  try {
    const executor = await open();
    const { description } = executor;
    await executor.close();
    return { name, state: 'good', found: description };
  } catch (error) {
    if (!isPeftError(error)) throw error;
    return { name, found: error.message, ...without };
  }
};

const node = (): Finding => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isNew = major > 20 || (major === 20 && minor >= 19);
  const found = `${process.version} on ${process.platform} ${process.arch}`;
  return {
    name: 'Node',
    found,
    state: isNew ? 'good' : 'bad',
    ...(!isNew && { remedy: 'install Node 20.19 or later' }),
  };
};

const memory = (): Finding => {
  const limit = process.constrainedMemory?.() ?? 0;
  const total = limit > 0 && limit < totalmem() ? limit : totalmem();
  return {
    name: 'memory',
    state: 'good',
    found: `${bytes(total)}, of which ${bytes(Math.min(freemem(), total))} free`,
  };
};

const disk = async (): Promise<Finding> => {
  const { bavail, bsize } = await statfs('.');
  const free = bavail * bsize;
  const enough = free > 1e9;
  return {
    name: 'disk',
    found: `${bytes(free)} free here`,
    state: enough ? 'good' : 'bad',
    ...(!enough && { remedy: 'runs write checkpoints: make room, or give --out on another disk' }),
  };
};

const variables = (): Finding[] =>
  Object.entries(process.env)
    .filter(([name]) => name.startsWith('PEFTJS_'))
    .map(([name, value]) => ({ name, state: 'good', found: `${value} (a variable of the environment)` }));

const marks = { good: 'ok', missing: '--', bad: '!!' } as const;

/** `peftjs doctor`: devices, versions, memory and disk; with what to do about what is not well. */
export const run = async ({ context }: Call): Promise<void> => {
  const findings: Finding[] = [
    node(),
    { name: 'processor', state: 'good', found: `${availableParallelism()} threads` },
    memory(),
    await disk(),
    await device('CPU', () => cpu(), {
      state: 'bad',
      remedy: 'npm install onnxruntime-node, or see its message above',
    }),
    await device('GPU', () => webgpu(), {
      state: 'missing',
      remedy: 'without a hardware GPU all runs on the CPU; on Linux a GPU needs its Vulkan driver',
    }),
    { name: 'model to try', state: 'good', found: baseModelDir() },
    ...variables(),
  ];
  const width = Math.max(...findings.map(({ name }) => name.length));
  const lines = findings.map(({ name, state, found, remedy }) => {
    const more = remedy ? `\n   ${' '.repeat(width)}  ${remedy}` : '';
    return `${marks[state]} ${name.padEnd(width)}  ${found}${more}`;
  });
  result(context, findings, lines.join('\n'));
};
