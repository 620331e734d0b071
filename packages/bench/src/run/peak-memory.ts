import { readFileSync } from 'node:fs';

/**
 * The most memory that this process has had resident, in bytes. On Linux `VmHWM`: `maxRSS` would count what the parent had when it
 * started us.
 */
export const peakMemory = (): number => {
  try {
    return Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024;
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
};
