import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  kaimingUniform,
  type MethodFactory,
  targets,
  zeros,
} from '@peftjs/core';
import { broadcastTo, matmul, mul, PeftError, reshape, sum, type Tensor } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { type LoraOptions, loraOptions, rankAndScaleOf } from './low-rank.ts';
import { variantConfig, variantFiles } from './variant-files.ts';

/** Options of `qalora`. */
export interface QaloraOptions extends LoraOptions {
  /** Inputs g that are pooled to one; it divides the inputs of each layer. Default 16. */
  readonly groupSize?: number;
}

/**
 * QA-LoRA: y = Wx + (alpha/r)·B·A·p(dropout(x)), p(x) the means of groups of g inputs, times their number in/g, so that all columns of a group of W move
 * alike: a base that is quantised by such groups, or by parts of them, with real zero points (`int4({ zeroPoints: 'real' })`, GPTQ's and AWQ's files) holds the merged weight in these, with the same codes. A is [rank, in/g], B [out, rank] is zero at the start.
 * Hugging Face PEFT has it over GPTQ's layers alone, here it is over any. Merges. Throws as `lora`, and `bad-option` for layers whose inputs g does not divide.
 * Xu et al., 2023. https://arxiv.org/abs/2309.14717. The pooled scale is that of Hugging Face PEFT.
 */
export const qalora: MethodFactory<QaloraOptions> = defineMethod<QaloraOptions>({
  name: 'qalora',
  formula: {
    merges: true,
    options: {
      ...loraOptions,
      target: targets('target_modules', familyTarget('lora')),
      groupSize: count('qalora_group_size', 16),
    },
    attach: (model, scope, options) =>
      eachLinear(model, scope, options.target, 'qalora', (base, own, path) => {
        const { groupSize, dropout } = options;
        const { inDim, outDim } = base;
        if (inDim % groupSize !== 0)
          throw new PeftError(
            'bad-option',
            `qalora: ${path}: groupSize ${groupSize} does not divide its ${inDim} inputs; give a size that does`,
          );
        const groups = inDim / groupSize;
        const { rank, scale } = rankAndScaleOf(path, options);
        const a = own.param('lora_A.weight', [rank, groups], kaimingUniform);
        const b = own.param('lora_B.weight', [outDim, rank], zeros);
        const factor = (scale * groups) / groupSize;
        return addDelta(base, {
          apply: (x: Tensor) => {
            const grouped = reshape(own.dropout(x, dropout), [...x.shape.slice(0, -1), groups, groupSize]);
            const low = matmul(sum(grouped, { axes: [-1] }), a, { transposeB: true }); // [..., rank]
            return matmul(mul(low, factor), b, { transposeB: true });
          },
          dense: () => {
            const spread = broadcastTo(reshape(matmul(b, a), [outDim, groups, 1]), [outDim, groups, groupSize]);
            return mul(reshape(spread, [outDim, inDim]), factor);
          },
        });
      }),
  },
  files: {
    ...variantFiles('qalora', 'use_qalora'),
    config: (model) => ({ ...variantConfig(model, {} as never), use_qalora: true }),
  },
  card: {
    about: 'low-rank updates of groups of inputs, as quantised bases have them',
    paper: {
      authors: 'Xu et al.',
      year: 2023,
      title: 'QA-LoRA: Quantization-Aware Low-Rank Adaptation of Large Language Models',
      url: 'https://arxiv.org/abs/2309.14717',
    },
    learningRate: 2e-5,
    narrowRate: 1e-2,
  },
});
