import { byteSize, type Executor, type TypedArray, type Variable } from '@peftjs/tensor';
import type { Node } from '@peftjs/tensor/executor';
import { bytesOf, elementType } from '../lower/emitter.ts';
import { type Embedded, embedConstant } from '../lower/lower.ts';
import type { ExternalData } from '../proto/model.ts';

/** The values of a program's variables, for a model file. */
export interface Weights {
  /** A leaf's values in the model, or their place in the data file; null for inputs. */
  readonly embed: (node: Node) => Embedded | null;
  /** The bytes of the data file, one variable in memory at a time; null where there is none. */
  readonly data: AsyncIterable<Uint8Array> | null;
}

/** The executor that has the values, and where they go. */
export interface WeightsOptions {
  readonly executor: Executor;
  /** Into a data file, or into the model. Default: into a data file when they exceed 1 GiB, as a model file must stay below 2 GiB. */
  readonly externalData?: boolean | undefined;
  /** Name of the data file. */
  readonly location: string;
}

const largestModel = 2 ** 30;

/** Where external tensors begin: memory-mapping readers want whole pages. */
const page = 4096;

const align = (offset: number): number => Math.ceil(offset / page) * page;

/** Places of the variables in the data file. */
const layOut = (variables: readonly Variable[], location: string): ReadonlyMap<Node, ExternalData> => {
  let end = 0;
  return new Map(
    variables.map((v) => {
      const offset = align(end);
      end = offset + byteSize(v);
      return [v.node, { location, offset, length: byteSize(v) }];
    }),
  );
};

async function* dataPieces(variables: readonly Variable[], executor: Executor): AsyncGenerator<Uint8Array> {
  let end = 0;
  for (const v of variables) {
    yield new Uint8Array(align(end) - end);
    yield bytesOf(await executor.read(v));
    end = align(end) + byteSize(v);
  }
}

/** Reads the values that go into the model, and lays out those that go beside it. */
export const weightsOf = async (
  variables: readonly Variable[],
  { executor, externalData, location }: WeightsOptions,
): Promise<Weights> => {
  const external = externalData ?? variables.reduce((n, v) => n + byteSize(v), 0) > largestModel;
  const places = external ? layOut(variables, location) : new Map<Node, ExternalData>();
  const values = new Map<Node, TypedArray>();
  if (!external) for (const v of variables) values.set(v.node, await executor.read(v));
  return {
    embed: (node) => {
      if (node.kind === 'constant') return embedConstant(node);
      if (node.kind !== 'variable') return null;
      const { dtype } = node.outs[0]!;
      const data = places.get(node) ?? bytesOf(values.get(node)!);
      return { data, type: dtype === 'f16' ? 'float16' : elementType(dtype) };
    },
    data: external ? dataPieces(variables, executor) : null,
  };
};
