import type { TensorNeed, TensorNeeds } from '../../weights.ts';
import { layerNeeds } from '../heads.ts';
import type { DualConfig, SideConfig } from './config.ts';
import { blocksOf, type DualRecord, dualPaths, type Side } from './record.ts';

const table = (path: string, rows: number, d: number): [string, TensorNeed] => [
  `${path}.weight`,
  { shape: [rows, d], init: 'normal' },
];

/** The tensors of a norm. */
export const normNeeds = (path: string, d: number): [string, TensorNeed][] => [
  [`${path}.weight`, { shape: [d], init: 'ones' }],
  [`${path}.bias`, { shape: [d], init: 'zeros' }],
];

const blocksNeeds = (side: Side, { hiddenSize: d, intermediateSize, layers }: SideConfig): [string, TensorNeed][] =>
  blocksOf(side, layers).flatMap(({ attn, mlp, norms }) => [
    ...normNeeds(norms[0], d),
    ...['k_proj', 'v_proj', 'q_proj', 'out_proj'].flatMap((name) => layerNeeds(`${attn}.${name}`, d, d, true)),
    ...normNeeds(norms[1], d),
    ...layerNeeds(`${mlp}.fc1`, intermediateSize, d, true),
    ...layerNeeds(`${mlp}.fc2`, d, intermediateSize, true),
  ]);

/** Rows of a picture: its patches, and where there is one the class's row in front of them. */
export const rowsOfPicture = (
  { classRow }: DualRecord,
  { patch }: DualConfig['vision'],
  height: number,
  width: number,
): number => {
  const patches = Math.floor(height / patch) * Math.floor(width / patch);
  return patches > 0 ? Number(classRow) + patches : 0;
};

const textNeeds = ({ text, vocabSize, maxPositions }: DualConfig): [string, TensorNeed][] => [
  table(dualPaths.tokens, vocabSize, text.hiddenSize),
  table(dualPaths.textPositions, maxPositions, text.hiddenSize),
  ...blocksNeeds('text', text),
  ...normNeeds(dualPaths.textNorm, text.hiddenSize),
];

const visionNeeds = (record: DualRecord, { vision }: DualConfig): [string, TensorNeed][] => {
  const at = dualPaths;
  const [channels, height, width] = vision.picture;
  const d = vision.hiddenSize;
  const { classRow } = record;
  return [
    ...(classRow ? [table(at.classRow, 1, d)] : []),
    ...layerNeeds(at.patches, d, channels * vision.patch ** 2, !classRow),
    table(at.picturePositions, rowsOfPicture(record, vision, height, width), d),
    ...(classRow ? normNeeds(at.firstNorm, d) : []),
    ...blocksNeeds('vision', vision),
    ...normNeeds(at.visionNorm, d),
  ];
};

/** The tensors of both towers and of the space that they share, or of the only tower that there is, in the order in which the class has its layers. */
export const dualNeeds = (record: DualRecord, config: DualConfig): TensorNeeds => {
  if (config.only) return new Map(visionNeeds(record, config));
  const head = [...record.head.needs(config)];
  const isOfText = ([name]: (typeof head)[number]): boolean => name.startsWith('text_model.');
  return new Map([
    ...textNeeds(config),
    ...head.filter(isOfText),
    ...visionNeeds(record, config),
    ...head.filter((need) => !isOfText(need)),
  ]);
};
