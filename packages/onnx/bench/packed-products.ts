// What products by packed matrices cost beside the f32 product of the same shape: the best of rounds in which all take turns, since other
// work on the machine can only add.
// node --conditions=@peftjs/source --import tsx packages/onnx/bench/packed-products.ts [rows]
import {
  compile,
  type Executable,
  input,
  matmul,
  matmulQuantized,
  type PackedFormat,
  packedRow,
  scaleGroup,
  sum,
  type Tensor,
  variable,
} from '@peftjs/tensor';
import { cpu } from '../src/index.ts';

const rows = Number(process.argv[2] ?? 512);
const rounds = 60;

const shapes = [
  [576, 576],
  [1536, 576],
  [576, 1536],
  [256, 256],
  [688, 256],
  [256, 688],
] as const;

const bytes = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => (i * 73) >> 2);
const floats = (size: number): Float32Array => Float32Array.from({ length: size }, (_, i) => Math.sin(i));

type Product = (x: Tensor, transposed: boolean) => Tensor;

const packed = (format: PackedFormat, block: number, doubleQuant: boolean, outDim: number, inDim: number): Product => {
  const attrs = { format, inDim, block };
  const row = packedRow(attrs);
  const count = outDim * row.blocks;
  const codes = variable('codes', [outDim, row.bytes], bytes(outDim * row.bytes), 'u8');
  const scale = doubleQuant
    ? variable('scale', [Math.ceil(count / scaleGroup)], floats(Math.ceil(count / scaleGroup)))
    : variable('scale', [outDim, row.blocks], floats(count));
  const scaleCodes = doubleQuant ? variable('scale_codes', [outDim, row.blocks], bytes(count), 'u8') : null;
  const scaleOffset = doubleQuant ? variable('scale_offset', [], floats(1)) : null;
  return (x, transposed) => matmulQuantized(x, codes, scale, scaleCodes, scaleOffset, { ...attrs, transposed });
};

const products = (outDim: number, inDim: number): Readonly<Record<string, Product>> => {
  const weight = variable('weight', [outDim, inDim], floats(outDim * inDim));
  return {
    f32: (x, transposed) => matmul(x, weight, { transposeB: !transposed }),
    nf4: packed('nf4', 64, true, outDim, inDim),
    'nf4 plain scales': packed('nf4', 64, false, outDim, inDim),
    int8: packed('int8', inDim, false, outDim, inDim),
    'int8 blocks of 64': packed('int8', 64, false, outDim, inDim),
  };
};

const executor = await cpu();
for (const [outDim, inDim] of shapes)
  for (const transposed of [false, true]) {
    const depth = transposed ? outDim : inDim;
    const feeds = { x: floats(rows * depth) };
    const made = new Map<string, { program: Executable; times: number[] }>();
    for (const [name, product] of Object.entries(products(outDim, inDim)))
      made.set(name, {
        program: await compile({ outputs: { y: sum(product(input('x', [rows, depth]), transposed)) } }, executor),
        times: [],
      });
    for (let round = 0; round < rounds; round++)
      for (const { program, times } of made.values()) {
        const start = performance.now();
        await program.run(feeds);
        times.push(performance.now() - start);
      }
    const best = (name: string): number => Math.min(...made.get(name)!.times);
    const parts = [...made.keys()].map((name) => `${name} ${(best(name) / best('f32')).toFixed(2)}`);
    console.log(
      `${rows} x [${outDim}, ${inDim}]${transposed ? ' transposed' : ''}: f32 ${best('f32').toFixed(2)} ms; relative: ${parts.slice(1).join(', ')}`,
    );
    for (const { program } of made.values()) program.close();
  }
await executor.close();
