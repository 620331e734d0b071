import type { WriteTensor } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { type CheckpointReader, type CheckpointWriter, type FindLayer, onceFor } from '@peftjs/transformer';
import { storedLinear } from '../packed-linear.ts';
import { codeIn, codeWords } from './bit-stream.ts';
import { orderedLinear, orderOf } from './ordered-linear.ts';
import { expectTensor, turned, wordsOf } from './tensors.ts';
import { type WholeLayer, type WholeValues, wholeLayers, wordsTensor } from './whole-layers.ts';
import { type CodeBits, expectScales, packZeroPoints, zeroPoints } from './zero-points.ts';

interface Settings {
  readonly bits: CodeBits;
  /** −1: all inputs. */
  readonly groupSize: number;
  /** Whether inputs may be in groups out of their order. */
  readonly actOrder: boolean;
  /** The number that stored zero points lack: 1 in files of the first version. */
  readonly zeroOffset: 0 | 1;
}

/** The group of each input, checked: groups are full. Throws `state-mismatch`. */
const checkGroups = (who: string, groups: Int32Array, size: number): Int32Array => {
  const counts = new Map<number, number>();
  for (const g of groups) counts.set(g, (counts.get(g) ?? 0) + 1);
  const count = groups.length / size;
  const isSound = counts.size === count && [...counts].every(([g, n]) => g >= 0 && g < count && n === size);
  if (isSound) return groups;
  throw new PeftError(
    'state-mismatch',
    `${who} does not put ${size} inputs into each of ${count} groups; such are not read.`,
  );
};

const layersWith =
  ({ bits, groupSize, actOrder, zeroOffset }: Settings): FindLayer =>
  async (checkpoint, path, shape) => {
    const [qweight, qzeros, gIdx] = [`${path}.qweight`, `${path}.qzeros`, `${path}.g_idx`];
    if (!checkpoint.tensors.has(qweight)) return null;
    const [outDim, inDim] = shape;
    const points = zeroPoints(checkpoint, path, bits, inDim, groupSize);
    const { format, storage, groups } = points;
    expectTensor(checkpoint, qweight, [(inDim * bits) / 32, outDim], ['I32']);
    expectTensor(checkpoint, qzeros, [groups, (outDim * bits) / 32], ['I32']);
    expectScales(checkpoint, path, groups, outDim);
    const hasGroups = checkpoint.tensors.has(gIdx);
    if (hasGroups) expectTensor(checkpoint, gIdx, [inDim], ['I32']);
    const groupsOf = async (): Promise<Int32Array> =>
      checkGroups(`${checkpoint.path}: ${gIdx}`, await wordsOf(checkpoint, gIdx), inDim / groups);
    const order = actOrder && hasGroups ? orderOf(await groupsOf()) : null;
    const mask = 2 ** bits - 1;
    const read = async () => {
      if (hasGroups && !order && orderOf(await groupsOf()))
        throw new PeftError(
          'state-mismatch',
          `${checkpoint.path}: ${gIdx} is out of order, though desc_act in config.json is false. Correct it.`,
        );
      const [words, zeros] = [await wordsOf(checkpoint, qweight), await wordsOf(checkpoint, qzeros)];
      const width = zeros.length / groups;
      return packZeroPoints(
        checkpoint,
        path,
        points,
        shape,
        (i, o) => codeIn((w) => words[w * outDim + o]!, bits, order ? order[i]! : i),
        (g, o) => (codeIn((w) => zeros[g * width + w]!, bits, o) + zeroOffset) & mask,
      );
    };
    const tensors = [qweight, qzeros, `${path}.scales`, ...(hasGroups ? [gIdx] : [])];
    return {
      tensors,
      linear: (name, bias) => {
        const linear = storedLinear(format, name, shape, bias, read, storage);
        return order ? orderedLinear(linear, order, name) : linear;
      },
    };
  };

/**
 * Checkpoints of GPTQ, as auto-gptq and gptqmodel write them: `loadModel(dir, { readers: [gptq] })`. Whole numbers of 2, 3, 4 and 8 bits by groups of inputs, symmetric or not, of both versions
 * (the first stores zero points less one), also where inputs were put in the order of their importance (`desc_act`): such layers take their inputs in that order. Values are
 * (q − z)·s, to the bit. Frantar, Ashkboos, Hoefler & Alistarh, 2022. https://arxiv.org/abs/2210.17323; the layout is that of https://github.com/AutoGPTQ/AutoGPTQ.
 */
export const gptq: CheckpointReader = {
  method: 'gptq',
  open: (config, problems) => {
    const { bits, group_size: groupSize, desc_act: actOrder = false, checkpoint_format: layout = 'gptq' } = config;
    const say = (field: string, known: string): number =>
      problems.push(`quantization_config.${field}: ${JSON.stringify(config[field])} is not supported; ${known}`);
    if (![2, 3, 4, 8].includes(bits as number)) say('bits', '2, 3, 4 and 8 are');
    if (!Number.isSafeInteger(groupSize) || (groupSize !== -1 && (groupSize as number) < 1))
      say('group_size', '-1 and positive numbers are');
    if (typeof actOrder !== 'boolean') say('desc_act', 'true and false are');
    if (layout !== 'gptq' && layout !== 'gptq_v2') say('checkpoint_format', '"gptq" and "gptq_v2" are');
    return layersWith({
      bits: bits as CodeBits,
      groupSize: groupSize as number,
      actOrder: actOrder as boolean,
      zeroOffset: layout === 'gptq_v2' ? 0 : 1,
    });
  },
};

/** Options of `gptqFiles`. */
export interface GptqFilesOptions {
  /** `gptq`: zero points are stored less one, which all loaders read; `gptq_v2`: as they are. Default `gptq`. */
  readonly checkpointFormat?: 'gptq' | 'gptq_v2';
}

const rules: Rules<GptqFilesOptions> = { checkpointFormat: mustBe.oneOf(['gptq', 'gptq_v2']) };

const zeroWords = (
  { path, outDim, inDim, bits, group }: WholeLayer,
  { zero }: WholeValues,
  isFirst: boolean,
): Int32Array =>
  codeWords(inDim / group, outDim, bits, (g, o) => {
    const z = zero(g, o);
    // A zero point of 0 would be stored as the largest code, which not all loaders turn back.
    if (isFirst && z === 0)
      throw new PeftError(
        'bad-option',
        `gptqFiles: ${path} has a zero point of 0, which files that store them less one do not hold; give checkpointFormat: 'gptq_v2'`,
      );
    return isFirst ? z - 1 : z;
  });

/**
 * Writes the linear layers of a model's blocks as auto-gptq and gptqmodel do: `saveModel(model, dir, { executor, dtype: 'f16', writer: gptqFiles() })`. They must be whole numbers with a scale and a whole zero point for each group
 * of inputs, as `quantizeByGptq`, `int4()` and its kin, and `loadModel` with `readers: [gptq]` make them, of one width and group size. Codes and zero points are written to the bit, scales in f16.
 * Throws `bad-option` for other layers, all at once.
 */
export const gptqFiles = (options: GptqFilesOptions = {}): CheckpointWriter => {
  checkOptions('gptqFiles', rules, options);
  const { checkpointFormat = 'gptq' } = options;
  return (linears, blocks) => {
    const { layers, bits, group: groupSize } = wholeLayers('gptqFiles', linears, blocks);
    const tensors = layers.flatMap((layer): [string, WriteTensor][] => {
      const { path, inDim, outDim, group, order, read } = layer;
      const places = new Int32Array(inDim).map((_, i) => i);
      if (order) for (const [to, from] of order.entries()) places[from] = to;
      const once = onceFor(3, read);
      return [
        [
          `${path}.qweight`,
          wordsTensor([(inDim * bits) / 32, outDim], async () => {
            const { code } = await once();
            // Words run along the inputs: one row of them an output, then turned.
            const rows = codeWords(outDim, inDim, bits, (o, i) => code(places[i]!, o));
            return turned(rows, outDim, (inDim * bits) / 32);
          }),
        ],
        [
          `${path}.qzeros`,
          wordsTensor([inDim / group, (outDim * bits) / 32], async () =>
            zeroWords(layer, await once(), checkpointFormat === 'gptq'),
          ),
        ],
        [`${path}.scales`, { dtype: 'F16', shape: [inDim / group, outDim], data: async () => (await once()).scales }],
        [`${path}.g_idx`, { dtype: 'I32', shape: [inDim], data: places.map((place) => Math.floor(place / group)) }],
      ];
    });
    return {
      paths: layers.map(({ path }) => path),
      tensors: new Map(tensors),
      config: {
        quant_method: 'gptq',
        bits,
        group_size: groupSize,
        desc_act: layers.some(({ order }) => order !== null),
        sym: layers.every(({ isSymmetric }) => isSymmetric),
        checkpoint_format: checkpointFormat,
      },
    };
  };
};
