import type { WriteTensor } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { type CheckpointReader, type CheckpointWriter, type FindLayer, onceFor } from '@peftjs/transformer';
import { storedLinear } from '../packed-linear.ts';
import { expectTensor, wordsOf } from './tensors.ts';
import { wholeLayers, wordsTensor } from './whole-layers.ts';
import { expectScales, packZeroPoints, zeroPoints } from './zero-points.ts';

/** Where the code of each of eight outputs lies in its word. */
const placeInWord = [0, 4, 1, 5, 2, 6, 3, 7] as const;

/** The code of an output in a row of words. */
const codeOf = (words: Int32Array, width: number, row: number, output: number): number =>
  (words[row * width + (output >> 3)]! >>> (4 * placeInWord[output & 7]!)) & 15;

const layersWith =
  (groupSize: number): FindLayer =>
  async (checkpoint, path, shape) => {
    const [qweight, qzeros] = [`${path}.qweight`, `${path}.qzeros`];
    if (!checkpoint.tensors.has(qweight)) return null;
    const [outDim, inDim] = shape;
    const points = zeroPoints(checkpoint, path, 4, inDim, groupSize);
    const width = outDim / 8;
    expectTensor(checkpoint, qweight, [inDim, width], ['I32']);
    expectTensor(checkpoint, qzeros, [points.groups, width], ['I32']);
    expectScales(checkpoint, path, points.groups, outDim);
    const read = async () => {
      const [words, zeros] = [await wordsOf(checkpoint, qweight), await wordsOf(checkpoint, qzeros)];
      return packZeroPoints(
        checkpoint,
        path,
        points,
        shape,
        (i, o) => codeOf(words, width, i, o),
        (g, o) => codeOf(zeros, width, g, o),
      );
    };
    return {
      tensors: [qweight, qzeros, `${path}.scales`],
      linear: (name, bias) => storedLinear(points.format, name, shape, bias, read, points.storage),
    };
  };

/**
 * Checkpoints of AWQ in its layout `gemm`, as autoawq and llm-awq's converters write them: `loadModel(dir, { readers: [awq] })`. 4-bit whole numbers by groups of inputs, (q − z)·s, to the
 * bit; what AWQ multiplied weights by is in the norms before them already.
 * Lin et al., 2023. https://arxiv.org/abs/2306.00978; the layout is that of https://github.com/casper-hansen/AutoAWQ.
 */
export const awq: CheckpointReader = {
  method: 'awq',
  open: (config, problems) => {
    const { bits = config['w_bit'], group_size: groupSize = config['q_group_size'] } = config;
    const version = config['version'] ?? 'gemm';
    const say = (field: string, value: unknown, known: string): number =>
      problems.push(`quantization_config.${field}: ${JSON.stringify(value)} is not supported; ${known}`);
    if (bits !== 4) say('bits', bits, '4 is');
    if (typeof version !== 'string' || version.toLowerCase() !== 'gemm') say('version', version, '"gemm" is');
    if (!Number.isSafeInteger(groupSize) || (groupSize !== -1 && (groupSize as number) < 1))
      say('group_size', groupSize, '-1 and positive numbers are');
    return layersWith(groupSize as number);
  },
};

/** Rows of codes as `codeOf` reads them. */
const wordsBy = (rows: number, outputs: number, codeAt: (row: number, output: number) => number): Int32Array => {
  const words = new Int32Array((rows * outputs) / 8);
  for (let row = 0; row < rows; row++)
    for (let o = 0; o < outputs; o++) words[(row * outputs + o) >> 3]! |= codeAt(row, o) << (4 * placeInWord[o & 7]!);
  return words;
};

/**
 * Writes the linear layers of a model's blocks in AWQ's layout `gemm`, as autoawq does: `saveModel(model, dir, { executor, dtype: 'f16', writer: awqFiles() })`. They must be as for `gptqFiles`, of 4 bits, with their inputs in order.
 * Codes and zero points are written to the bit, scales in f16. Throws `bad-option` for other layers, and for those of `quantizeByAwq` that divide their inputs: `scales: 'norms'` makes such as can be written.
 */
export const awqFiles = (): CheckpointWriter => (linears, blocks) => {
  const { layers, group: groupSize } = wholeLayers('awqFiles', linears, blocks);
  const odd = layers.filter(({ bits, order }) => bits !== 4 || order);
  if (odd.length > 0)
    throw new PeftError(
      'bad-option',
      `awqFiles: ${odd.map(({ path, bits, order }) => `${path} ${order ? 'takes its inputs in another order' : `is of ${bits} bits`}`).join('; ')}; such files hold 4 bits in order. Take gptqFiles()`,
    );
  const tensors = layers.flatMap(({ path, inDim, outDim, group, read }): [string, WriteTensor][] => {
    const once = onceFor(3, read);
    return [
      [`${path}.qweight`, wordsTensor([inDim, outDim / 8], async () => wordsBy(inDim, outDim, (await once()).code))],
      [
        `${path}.qzeros`,
        wordsTensor([inDim / group, outDim / 8], async () => wordsBy(inDim / group, outDim, (await once()).zero)),
      ],
      [`${path}.scales`, { dtype: 'F16', shape: [inDim / group, outDim], data: async () => (await once()).scales }],
    ];
  });
  return {
    paths: layers.map(({ path }) => path),
    tensors: new Map(tensors),
    config: {
      quant_method: 'awq',
      bits: 4,
      group_size: groupSize,
      zero_point: true,
      version: 'gemm',
      modules_to_not_convert: null,
    },
  };
};
