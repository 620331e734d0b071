import type { Path } from '../../sites.ts';
import type { FirstToken } from '../decoder-inputs.ts';
import type { BartConfig } from './config.ts';

/** That in which encoder-decoders of BART's kind differ. */
export interface BartRecord {
  readonly modelType: string;
  /** The word that its classes in transformers begin with: `Bart` of `BartForConditionalGeneration`. */
  readonly stem: string;
  /** Whether norms come before each part, and one after all; else one after each sum. */
  readonly normFirst: boolean;
  /** The default of `decoder_start_token_id`. */
  readonly startId: number | null;
  /** The first token of a decoder that reads the encoder's text. */
  readonly firstToken: FirstToken;
  /** Whether its class of the adapters library is known here. Default false. */
  readonly stacks?: boolean;
  /** Default targets by table; see `ModelLayout.defaultTarget`. */
  readonly targets: Readonly<Record<string, readonly string[]>>;
}

/** The towers by their modules' names. */
export type Stack = 'encoder' | 'decoder';

/** Rows of the tables of positions that no position has: a leftover of counting from the padding's id. */
export const unusedPositions = 2;

/** The table of tokens that both towers read. */
export const tokenTable: Path = 'model.shared';

/** A part of a block: the attention to its own rows, to the encoder's, the MLP. */
export interface BlockPart {
  readonly site: 'attn' | 'cross' | 'mlp';
  /** The path of the site, and of the layers: of an MLP's `fc1` and `fc2` that of the block. */
  readonly path: Path;
  readonly norm: Path;
}

/** The blocks of a stack, each with its parts in their order. */
export const blocksOf = (
  { encoderLayers, layers }: BartConfig,
  stack: Stack,
): readonly { readonly block: Path; readonly parts: readonly BlockPart[] }[] =>
  Array.from({ length: stack === 'encoder' ? encoderLayers : layers }, (_, i) => {
    const block = `model.${stack}.layers.${i}`;
    const part = (site: BlockPart['site'], name: string, norm: string): BlockPart => ({
      site,
      path: `${block}.${name}`,
      norm: `${block}.${norm}`,
    });
    return {
      block,
      parts: [
        part('attn', 'self_attn', 'self_attn_layer_norm'),
        ...(stack === 'decoder' ? [part('cross', 'encoder_attn', 'encoder_attn_layer_norm')] : []),
        part('mlp', 'fc2', 'final_layer_norm'),
      ],
    };
  });

/** Heads of a stack, and the width of its MLP. */
export const sizesOf = (c: BartConfig, stack: Stack): { readonly heads: number; readonly inner: number } =>
  stack === 'encoder'
    ? { heads: c.encoderHeads, inner: c.encoderInner }
    : { heads: c.decoderHeads, inner: c.decoderInner };
