import { promisify } from 'node:util';
import { PeftError } from '@peftjs/tensor';
import type { Foreign, Library } from './library.ts';

/** Functions of an MPI library; those that wait for other processes do so on a thread of their own. */
export interface Calls {
  init(): void;
  rank(): number;
  size(): number;
  /** Its own words about its name and version: their first line. */
  version(): string;
  /** Sums of all processes, in place. */
  allReduce(values: Float32Array): Promise<void>;
  broadcast(values: Float32Array, root: number): Promise<void>;
  finalize(): void;
  abort(code: number): void;
}

/** Values of one call: counts are ints of C. */
const most = 2 ** 28;

function* parts(values: Float32Array): Generator<Float32Array> {
  for (let at = 0; at < values.length; at += most) yield values.subarray(at, at + most);
}

/** The functions that training needs. Each throws `device-error` with its name and MPI's code where it fails. */
export const callsOf = ({ handles, func }: Library): Calls => {
  const { type, world, inPlace, float, sum, serialized } = handles;
  const check = (name: string, code: unknown): void => {
    if (code !== 0) throw new PeftError('device-error', `openMpi: ${name} failed with the code ${String(code)}`);
  };
  const sync = (name: string, ...types: readonly string[]) => {
    const raw = func(name, types);
    return (...args: readonly unknown[]): void => check(name, raw(...args));
  };
  const later = (name: string, ...types: readonly string[]) => {
    const raw: Foreign = func(name, types);
    const call = promisify<readonly unknown[], unknown>((args, done) => raw.async(...args, done));
    return async (...args: readonly unknown[]): Promise<void> => check(name, await call(args));
  };
  const init = sync('MPI_Init_thread', 'void *', 'void *', 'int', '_Out_ int *');
  const allReduce = later('MPI_Allreduce', 'void *', 'void *', 'int', type, type, type);
  const broadcast = later('MPI_Bcast', 'void *', 'int', type, 'int', type);
  const told = (name: string): number => {
    const value = [0];
    sync(name, type, '_Out_ int *')(world, value);
    return value[0]!;
  };
  return {
    init: () => {
      const level = [0];
      init(null, null, serialized, level);
      if (level[0]! < serialized)
        throw new PeftError(
          'device-error',
          'openMpi: this MPI library lacks MPI_THREAD_SERIALIZED; install another build of it',
        );
    },
    rank: () => told('MPI_Comm_rank'),
    size: () => told('MPI_Comm_size'),
    version: () => {
      const [text, length] = [Buffer.alloc(8192), [0]];
      sync('MPI_Get_library_version', 'void *', '_Out_ int *')(text, length);
      return text
        .toString('utf8', 0, length[0]!)
        .replace(/[\n\0].*$/s, '')
        .replace(/\s+/g, ' ')
        .trim();
    },
    allReduce: async (values) => {
      for (const part of parts(values)) await allReduce(inPlace, part, part.length, float, sum, world);
    },
    broadcast: async (values, root) => {
      for (const part of parts(values)) await broadcast(part, part.length, float, root, world);
    },
    finalize: sync('MPI_Finalize'),
    abort: (code) => void func('MPI_Abort', [type, 'int'])(world, code),
  };
};
