import type { Path } from '../../sites.ts';
import type { T5Config } from './config.ts';
import type { T5Record } from './record.ts';

/** The towers by their modules' names. */
export type Stack = 'encoder' | 'decoder';

/** The towers of a config's class, in the order of a pass. */
export const stacksOf = ({ stands }: T5Config): readonly Stack[] => stands?.stacks ?? ['encoder', 'decoder'];

/** The path of a part that stands where a config's class has it. */
export const pathIn = ({ stands }: T5Config, path: Path): Path => `${stands?.within ?? ''}${path}`;

/** The table of tokens that both stacks read. */
export const tokenTable = (config: T5Config): Path => pathIn(config, 'shared');

/** The paths of one block. */
export interface BlockPaths {
  readonly block: Path;
  readonly attn: Path;
  /** Null in the encoder. */
  readonly cross: Path | null;
  readonly mlp: Path;
  /** The norm before each part, in their order. */
  readonly norms: readonly Path[];
}

/** The blocks of a stack: transformers counts the parts of a block as its layers. */
export const blocksOf = (config: T5Config, stack: Stack): readonly BlockPaths[] =>
  Array.from({ length: stack === 'encoder' ? config.encoderLayers : config.layers }, (_, i) => {
    const block = pathIn(config, `${stack}.block.${i}`);
    const parts = stack === 'encoder' ? 2 : 3;
    return {
      block,
      attn: `${block}.layer.0.SelfAttention`,
      cross: stack === 'encoder' ? null : `${block}.layer.1.EncDecAttention`,
      mlp: `${block}.layer.${parts - 1}.DenseReluDense`,
      norms: Array.from({ length: parts }, (_, part) => `${block}.layer.${part}.layer_norm`),
    };
  });

/** The table of relative positions that a block reads. */
export const biasTable = ({ biases }: T5Record, blocks: readonly BlockPaths[], layer: number): Path =>
  `${blocks[biases === 'all' ? layer : 0]!.attn}.relative_attention_bias`;

/** Whether a tensor is such a table. */
export const isBiasTable = (name: string): boolean => name.endsWith('.relative_attention_bias.weight');
