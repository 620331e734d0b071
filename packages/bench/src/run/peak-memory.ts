import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const childrenOf = (process: number | 'self'): number[] =>
  readdirSync(`/proc/${process}/task`).flatMap((thread) =>
    readFileSync(`/proc/${process}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );

const mostResident = (process: number | 'self'): number =>
  Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${process}/status`, 'utf8'))![1]) * 1024;

/**
 * The most memory that this process and those that it started have had resident, each by itself, in bytes. On Linux `VmHWM`: `maxRSS`
 * would count what the parent had when it started us.
 */
export const peakMemory = (): number => {
  try {
    return [...childrenOf('self'), 'self' as const].reduce<number>((sum, process) => sum + mostResident(process), 0);
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
};

/** Lets this process begin anew with the most that it has had resident: what it has now. Linux alone can; elsewhere it goes on counting. */
export const forgetPeak = (): void => {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {}
};
