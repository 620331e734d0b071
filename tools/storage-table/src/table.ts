import type { Measured } from './measure.ts';

const cells = (row: readonly string[]): string => `| ${row.join(' | ')} |`;

/** Bits as the table shows them. */
export const shownBits = (bits: number): string => bits.toFixed(2);

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

const nearZero = (value: number, digits: number, least: string): string =>
  value === 0 ? '0' : value < 10 ** -digits ? least : value.toFixed(digits);

/** Tokens a second over the floats on the cpu executor: the median of what they did beside each format. */
const paceOfFloats = (rows: readonly Measured[]): number =>
  rows.map(({ onCpu, slower }) => onCpu * slower).toSorted((a, b) => a - b)[Math.floor(rows.length / 2)]!;

/** A column: its head, and its cell in a row. */
const columns: readonly (readonly [string, (row: Measured, floats: number) => string])[] = [
  ['format', ({ name }) => (name === 'f32' ? name : `\`${name}\``)],
  ['bits a weight', ({ bits }) => shownBits(bits)],
  ['error of weights', ({ error }) => (error === 0 ? '0' : `${(100 * error).toFixed(error < 0.01 ? 2 : 1)} %`)],
  ['predictions move (nats a token)', ({ moved }) => nearZero(moved, 4, '< 0.0001')],
  ['loss of the base (nats)', ({ loss }) => loss.toFixed(3)],
  ['loss after tuning (nats)', ({ tuned, spread }) => `${tuned.toFixed(3)} ± ${spread.toFixed(3)}`],
  ['time of a LoRA step (f32 = 1)', ({ slower }) => slower.toFixed(2)],
  ['tokens/s, cpu', ({ slower }, floats) => String(10 * Math.round(floats / slower / 10))],
  ['tokens/s, webgpu (software)', ({ onWebGpu }) => onWebGpu.toFixed(0)],
  ['planned peak (MiB)', ({ peak }) => mebibytes(peak)],
  ['resident peak (MiB)', ({ resident }) => (resident / 2 ** 20).toFixed(0)],
];

/** The page: formats from more bits to fewer. */
export const page = (rows: readonly Measured[]): string => `# Formats of storage

Measured on the model of \`@peftjs/base-model\` (4 blocks of width 256; all layers but the head are stored so) by \`pnpm storage\`, on the cpu executor but for one column.

![What predictions lose, against bits a weight](storage.svg)

${cells(columns.map(([head]) => head))}
${cells(columns.map((_, i) => (i === 0 ? '---' : '---:')))}
${[...rows]
  .sort((a, b) => b.bits - a.bits || a.moved - b.moved)
  .map((row) => cells(columns.map(([, cell]) => cell(row, paceOfFloats(rows)))))
  .join('\n')}

- Bits are those that the device holds, with scales and zero points; biases there are none.
- The error of weights is ‖W − Q‖ / ‖W‖ over all layers. GPTQ's may be larger than rounding's and its predictions nearer: it keeps what layers give, not what they hold.
- Predictions: the mean divergence (Kullback–Leibler) from those of the floats, on the 3 texts of 96 tokens in \`tools/golden/data/held-out.txt\`; the loss is of the same tokens, too few to order formats by it.
- GPTQ has seen 35 texts of 128 tokens of this project's decisions, of another kind than the text that is measured.
- After tuning: the loss of Moby-Dick's held-out chapters after 60 steps of LoRA (rank 8 on all layers, rate 4e-3, 4 × 128 tokens), the mean of three seeds and the farthest of them from it.
- The time is the median of 21 steps beside as many over f32, in turns, on the cpu executor of one machine with two cores (VNNI); tokens a second are the floats' median over all rows by that
  time, as the machine's own pace changes by a quarter from row to row.
- On \`webgpu\`: the median of 3 steps of 1 × 128 tokens on ${rows[0]!.adapter}, a driver that runs on the CPU. It shows that each format trains there, and nothing of a GPU's speed.
- \`int8({ compute: 'int8' })\` holds what \`int8()\` holds; its products round their inputs to 8 bits too.
- Planned is the peak of a forward and backward pass, rank 8 on all layers, 4 × 128 tokens; activations and the head, which is not stored so, are most of it in a model this small. Resident is the most that a process
  had in memory which ran nothing but such steps (\`VmHWM\`), with Node, ONNX Runtime and the optimiser: some 250 MiB that are the same for all.
`;
