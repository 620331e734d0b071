import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Joules that the processor's packages have taken since the meter was made. */
export type EnergyMeter = () => number;

const numberIn = (...path: string[]): number => Number(readFileSync(join(...path), 'utf8'));

/**
 * The meter of Linux's power capping (RAPL): the sum over the packages `intel-rapl:0`, `intel-rapl:1`, ..., without their parts. A counter that has wrapped
 * since the last look goes on behind `max_energy_range_uj`. Null where there is none or it may not be read: virtual machines seldom have it, and many
 * systems let root alone read it. https://docs.kernel.org/power/powercap/powercap.html
 */
export const energyMeter = (root = '/sys/class/powercap'): EnergyMeter | null => {
  try {
    const packages = readdirSync(root)
      .filter((name) => /^intel-rapl:\d+$/.test(name))
      .map((name) => ({
        last: numberIn(root, name, 'energy_uj'),
        range: numberIn(root, name, 'max_energy_range_uj'),
        name,
      }));
    if (packages.length === 0) return null;
    let total = 0;
    return () => {
      for (const own of packages) {
        const now = numberIn(root, own.name, 'energy_uj');
        total += now < own.last ? now + own.range - own.last : now - own.last;
        own.last = now;
      }
      return total / 1e6;
    };
  } catch {
    return null;
  }
};
