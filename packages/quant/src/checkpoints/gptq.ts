import { PeftError } from '@peftjs/tensor';
import type { CheckpointReader, FindLayer } from '@peftjs/transformer';
import { storedLinear } from '../packed-linear.ts';
import { codeIn } from './bit-stream.ts';
import { orderedLinear, orderOf } from './ordered-linear.ts';
import { expectTensor, wordsOf } from './tensors.ts';
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
