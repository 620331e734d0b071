import { readFileSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import { PeftError } from '@peftjs/tensor';
import type { Group } from '@peftjs/trainer';

/** A process of a group, in words. */
export interface Process {
  readonly host: string;
  /** The processors that it may use: `0-3`. Empty where the system doesn't say. */
  readonly processors: string;
  /** Versions that must be the same in all of them. */
  readonly versions: Readonly<Record<string, string>>;
}

/** The processors of this process, of which a launcher gives each a share, perhaps. */
const processors = (): string => {
  try {
    return /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
  } catch {
    return '';
  }
};

/** This process. */
export const thisProcess = (library: string): Process => ({
  host: hostname(),
  processors: processors(),
  versions: {
    peftjs: (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string })
      .version,
    node: process.version,
    MPI: library,
  },
});

/** All processes, by rank. */
export const everyone = async (own: Process, group: Group): Promise<Process[]> => {
  const text = new TextEncoder().encode(JSON.stringify(own));
  const found: Process[] = [];
  for (let rank = 0; rank < group.size; rank++) {
    const length = Float32Array.of(text.length);
    await group.broadcast(length, rank);
    const bytes = new Float32Array(length[0]!);
    if (group.rank === rank) bytes.set(text);
    await group.broadcast(bytes, rank);
    found.push(JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes))) as Process);
  }
  return found;
};

/** Throws `state-mismatch` with all versions that differ from those of process 0. */
export const checkVersions = (all: readonly Process[]): void => {
  const wanted = all[0]!.versions;
  const problems = all.flatMap(({ versions }, rank) =>
    Object.entries(versions).flatMap(([name, version]) =>
      version === wanted[name] ? [] : [`process ${rank} has ${name} ${version}, process 0 ${wanted[name]}`],
    ),
  );
  if (problems.length === 0) return;
  throw new PeftError('state-mismatch', `openMpi: ${problems.join('; ')}. Install the same everywhere.`);
};

/** Threads of a process: its processors, divided among those that have the very same ones. */
export const threadsOf = (own: Process, all: readonly Process[]): number => {
  const sharing = all.filter(({ host, processors: theirs }) => host === own.host && theirs === own.processors).length;
  return Math.max(1, Math.floor(availableParallelism() / Math.max(1, sharing)));
};
