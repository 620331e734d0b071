import type { Family } from './library.ts';

/** The program that has started this process beside others. */
export interface Launcher {
  readonly name: string;
  /** The library that it belongs to; null for one that starts those of any. */
  readonly family: Exclude<Family, 'MPI ABI'> | null;
  /** Processes that it says to have started. */
  readonly size: number;
}

const number = (name: string): number | null => {
  const value = process.env[name];
  return value !== undefined && /^\d+$/.test(value) ? Number(value) : null;
};

/** The launcher, by the variables that it sets; null where this process was started alone. */
export const launcher = (): Launcher | null => {
  const openMpi = number('OMPI_COMM_WORLD_SIZE');
  if (openMpi !== null) return { name: 'mpirun of Open MPI', family: 'Open MPI', size: openMpi };
  // Of a batch script's own process Slurm tells no step of several tasks.
  const slurm = number('SLURM_STEP_NUM_TASKS');
  if (slurm !== null && process.env['SLURM_PROCID'] !== undefined && process.env['SLURM_STEP_ID'] !== undefined)
    return { name: 'srun of Slurm', family: null, size: slurm };
  const mpich = number('PMI_SIZE');
  if (mpich !== null) return { name: 'mpirun of MPICH', family: 'MPICH', size: mpich };
  return null;
};
