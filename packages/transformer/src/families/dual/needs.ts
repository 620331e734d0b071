import type { TensorNeed, TensorNeeds } from '../../weights.ts';
import { layerNeeds } from '../heads.ts';
import type { DualConfig, SideConfig } from './config.ts';
import { blocksOf, dualPaths, type Side } from './record.ts';

const table = (path: string, rows: number, d: number): [string, TensorNeed] => [
  `${path}.weight`,
  { shape: [rows, d], init: 'normal' },
];

const norm = (path: string, d: number): [string, TensorNeed][] => [
  [`${path}.weight`, { shape: [d], init: 'ones' }],
  [`${path}.bias`, { shape: [d], init: 'zeros' }],
];

const blocksNeeds = (side: Side, { hiddenSize: d, intermediateSize, layers }: SideConfig): [string, TensorNeed][] =>
  blocksOf(side, layers).flatMap(({ attn, mlp, norms }) => [
    ...norm(norms[0], d),
    ...['q_proj', 'k_proj', 'v_proj', 'out_proj'].flatMap((name) => layerNeeds(`${attn}.${name}`, d, d, true)),
    ...norm(norms[1], d),
    ...layerNeeds(`${mlp}.fc1`, intermediateSize, d, true),
    ...layerNeeds(`${mlp}.fc2`, d, intermediateSize, true),
  ]);

/** Rows of a picture: its patches, and the class's row in front of them. */
export const rowsOfPicture = ({ patch }: DualConfig['vision'], height: number, width: number): number => {
  const patches = Math.floor(height / patch) * Math.floor(width / patch);
  return patches > 0 ? 1 + patches : 0;
};

/** The tensors of both towers and of the space that they share. */
export const dualNeeds = ({
  text,
  vision,
  projection,
  firstScale,
  vocabSize,
  maxPositions,
}: DualConfig): TensorNeeds => {
  const at = dualPaths;
  const [channels, height, width] = vision.picture;
  const d = vision.hiddenSize;
  return new Map([
    table(at.tokens, vocabSize, text.hiddenSize),
    table(at.textPositions, maxPositions, text.hiddenSize),
    ...blocksNeeds('text', text),
    ...norm(at.textNorm, text.hiddenSize),
    table(at.classRow, 1, d),
    ...layerNeeds(at.patches, d, channels * vision.patch ** 2, false),
    table(at.picturePositions, rowsOfPicture(vision, height, width), d),
    ...norm(at.firstNorm, d),
    ...blocksNeeds('vision', vision),
    ...norm(at.visionNorm, d),
    ...layerNeeds(at.visionProjection, projection, d, false),
    ...layerNeeds(at.textProjection, projection, text.hiddenSize, false),
    [`${at.scale}.weight`, { shape: [1, 1], init: firstScale }],
  ]);
};
