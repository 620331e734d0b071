import type { Measured } from './measure.ts';

const cells = (row: readonly string[]): string => `| ${row.join(' | ')} |`;

/** Bits as the table shows them. */
export const shownBits = (bits: number): string => bits.toFixed(2);

const tunedCell = ({ tuned, spread }: Pick<Measured, 'tuned' | 'spread'>): string =>
  `${tuned.toFixed(3)} ± ${spread.toFixed(3)}`;

const rowOf = ({ name, bits, error, loss, moved, tuned, spread, slower, peak }: Measured): string =>
  cells([
    `\`${name}\``,
    shownBits(bits),
    `${(100 * error).toFixed(error < 0.01 ? 2 : 1)} %`,
    moved < 1e-4 ? '< 0.0001' : moved.toFixed(4),
    loss.toFixed(3),
    tunedCell({ tuned, spread }),
    slower.toFixed(2),
    (peak / 2 ** 20).toFixed(1),
  ]);

/** The page: floats, then formats from more bits to fewer. */
export const page = (
  floats: Pick<Measured, 'loss' | 'tuned' | 'spread' | 'peak'>,
  rows: readonly Measured[],
): string => `# Formats of storage

Measured on the model of \`@peftjs/base-model\` (4 blocks of width 256; all layers but the head are stored so) by \`pnpm storage\`, on the cpu executor.

![What predictions lose, against bits a weight](storage.svg)

${cells(['format', 'bits a weight', 'error of weights', 'predictions move (nats a token)', 'loss of the base (nats)', 'loss after tuning (nats)', 'time of a LoRA step (f32 = 1)', 'planned peak of a LoRA step (MiB)'])}
${cells(['---', '---:', '---:', '---:', '---:', '---:', '---:', '---:'])}
${cells(['f32', '32.00', '0', '0', floats.loss.toFixed(3), tunedCell(floats), '1.00', (floats.peak / 2 ** 20).toFixed(1)])}
${[...rows]
  .sort((a, b) => b.bits - a.bits || a.moved - b.moved)
  .map(rowOf)
  .join('\n')}

- Bits are those that the device holds, with scales and zero points; biases there are none.
- The error of weights is ‖W − Q‖ / ‖W‖ over all layers. GPTQ's may be larger than rounding's and its predictions nearer: it keeps what layers give, not what they hold.
- Predictions: the mean divergence (Kullback–Leibler) from those of the floats, on the 3 texts of 96 tokens in \`tools/golden/data/held-out.txt\`; the loss is of the same tokens, too few to order formats by it.
- GPTQ has seen 35 texts of 128 tokens of this project's decisions, of another kind than the text that is measured.
- After tuning: the loss of Moby-Dick's held-out chapters after 60 steps of LoRA (rank 8 on all layers, rate 4e-3, 4 × 128 tokens), the mean of three seeds and the farthest of them from it.
- The time is the median of 21 steps beside as many over f32, in turns, on the cpu executor of one machine with two cores (VNNI).
- \`int8({ compute: 'int8' })\` holds what \`int8()\` holds; its products round their inputs to 8 bits too.
- The peak is that of a forward and backward pass, rank 8 on all layers, 4 × 128 tokens; activations and the head, which is not stored so, are most of it in a model this small.
`;
