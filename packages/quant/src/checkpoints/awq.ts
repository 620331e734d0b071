import type { CheckpointReader, FindLayer } from '@peftjs/transformer';
import { storedLinear } from '../packed-linear.ts';
import { expectTensor, wordsOf } from './tensors.ts';
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
