import { type Adapted, attach, type MethodFactory } from '@peftjs/core';
import { filesAt, listed, type Place, readJsonObject } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { type Model, requireModel } from '@peftjs/transformer';
import { type Activation, activationOption } from '../../activation.ts';
import { diReft, loReft, noReft, type ReftOptions } from '../reft.ts';
import { type Intervention, type PyreftClass, parsePyreftConfig } from './config.ts';
import { readUnit, type UnitTensor } from './tensors.ts';

/** Options of `loadPyreft`: all that a folder of pyreft does not hold. */
export interface LoadPyreftOptions {
  /** How many of a prompt's first tokens are changed: 7 of pyreft's `f7+l5`. Default 0. */
  readonly prefixPositions?: number;
  /** How many of its last tokens are: 5 of `f7+l5`. Default 0. */
  readonly suffixPositions?: number;
  /** f, pyreft's `act_fn`: any without a weight of its own. Default `linear`. */
  readonly activation?: Exclude<Activation, 'prelu'>;
  /** Probability that a value of a changed state is dropped in further training. Default 0, as pyreft's. */
  readonly dropout?: number;
}

const f = activationOption('linear');

const rules: Rules<LoadPyreftOptions> = {
  prefixPositions: mustBe.whole,
  suffixPositions: mustBe.whole,
  activation: mustBe.such(`${f.expected}, but not prelu`, (v) => f.accepts(v) && v !== 'prelu'),
  dropout: mustBe.rate,
};

const methods: Readonly<Record<PyreftClass, MethodFactory<ReftOptions>>> = {
  LoreftIntervention: loReft,
  NoreftIntervention: noReft,
  DireftIntervention: diReft,
  NodireftIntervention: diReft,
};

/** Weights of the base that were trained as well. */
const baseFile = 'pytorch_model.bin';

/** The number of the layer that an intervention is at; −1 for none. A model of several towers has no layer of a mere number. */
const layerOf = (base: Model, { place }: Intervention): number => {
  const blocks = base.paths('block');
  if (typeof place === 'number') return base.towers.length === 1 && place < blocks.length ? place : -1;
  return blocks.findIndex((path) => path === place || path === base.layout.outerModule + place);
};

/** The layers of a folder in order; `halves` for those that have one intervention for first and another for last tokens. */
interface Layers {
  readonly numbers: readonly number[];
  readonly halves: boolean;
}

/** Layers that interventions are at: each once, or all for the first tokens and then all for the last, as pyreft's data count them. */
const layersOf = (base: Model, interventions: readonly Intervention[], problems: string[]): Layers => {
  const numbers = interventions.map((own) => layerOf(base, own));
  const lost = interventions.filter((_, i) => numbers[i] === -1).map(({ place }) => place);
  if (lost.length > 0)
    problems.push(`the model has no layers ${lost.join(', ')}; it has ${base.paths('block').join(', ')}`);
  const half = numbers.length / 2;
  const halves = numbers.length > 0 && Number.isInteger(half) && numbers.every((n, i) => n === numbers[i % half]);
  const first = halves ? numbers.slice(0, half) : numbers;
  if (lost.length === 0 && new Set(first).size < first.length)
    problems.push(
      `its layers are ${numbers.join(', ')}; they must be there once, or all for the first tokens and again for the last`,
    );
  return { numbers: first, halves };
};

/** The folder is of interventions for first and for last tokens, but the options have none of one kind. */
const positionFault = (halves: boolean, prefix: number, suffix: number): string | null =>
  halves && (prefix === 0 || suffix === 0)
    ? `it has one intervention for the first tokens of each layer and one for the last; prefixPositions and suffixPositions must both be above 0, got ${prefix} and ${suffix}`
    : null;

/**
 * Attaches the interventions in a folder (a path on disk, a URL, `Files`) that pyreft wrote by `ReftModel.save`: `config.json` and
 * `intkey_….bin`, which are unpickled by a reader that knows tensors alone. `LoreftIntervention` becomes `loReft`, `NoreftIntervention` `noReft`, `DireftIntervention` and
 * `NodireftIntervention` `diReft`. The folder tells neither which tokens are changed nor f, so the options do. As with pyreft only a prompt is changed, at
 * most half of it from either end (`positionsOf: 'prompt'`). What is computed is f32, where pyreft keeps W in bf16 unless told otherwise; the rows of a
 * DiReFT's P are orthonormal in its file, but need not stay so in further training.
 *
 * Throws `bad-option`; `file-missing`, `bad-torch`; `bad-adapter` with all that the folder asks for and that is not computed here: other
 * interventions, other places than the output of a layer, weights of the base beside them.
 *
 * Wu et al., 2024. https://arxiv.org/abs/2404.03592. Files: pyreft 0.1.0, https://github.com/stanfordnlp/pyreft
 */
export const loadPyreft = async <M extends Model>(
  base: M,
  dir: Place,
  options: LoadPyreftOptions,
): Promise<Adapted<M>> => {
  requireModel('loadPyreft', base);
  checkOptions('loadPyreft', rules, options);
  const { prefixPositions = 0, suffixPositions = 0, activation = 'linear', dropout = 0 } = options;
  if (prefixPositions === 0 && suffixPositions === 0)
    throw new PeftError(
      'bad-option',
      "loadPyreft: a folder does not say which tokens are changed; give prefixPositions and suffixPositions, 7 and 5 for pyreft's f7+l5",
    );
  const files = await filesAt(dir);
  const problems: string[] = [];
  const check = (): void => {
    if (problems.length === 0) return;
    throw new PeftError('bad-adapter', `${files.name}: is not read as a folder of pyreft:${listed(problems)}`);
  };
  const raw = await readJsonObject(files, 'config.json', 'bad-adapter');
  const config = parsePyreftConfig(raw, 2 * base.paths('block').length, problems);
  if ((await files.size(baseFile)) !== null)
    problems.push(`${baseFile} holds weights of the base, which are not read; load them with the model`);
  const interventions = config?.interventions ?? [];
  const { numbers, halves } = layersOf(base, interventions, problems);
  const fault = positionFault(halves, prefixPositions, suffixPositions);
  if (fault) problems.push(fault);
  check();
  const { kind } = config!;
  const d = base.main.hiddenSize;
  const state = new Map<string, UnitTensor>();
  const ranks = new Set<number>();
  for (const [i, { file, rank }] of interventions.entries()) {
    const unit = await readUnit(files, file, { kind, d, isLinear: activation === 'linear' }, problems);
    if (!unit) continue;
    if (rank !== null && rank !== unit.rank)
      problems.push(`${file}: has rank ${unit.rank}, but config.json says ${rank}`);
    ranks.add(unit.rank);
    const block = base.paths('block')[numbers[i % numbers.length]!]!;
    const place = `${block}.reft_layer.refts.default.units.${Math.floor(i / numbers.length)}`;
    for (const [name, tensor] of unit.state) state.set(`${place}.${name}`, tensor);
  }
  if (ranks.size > 1) problems.push(`its interventions must have one rank, got ${[...ranks].join(' and ')}`);
  check();
  const method = methods[kind]({
    rank: [...ranks][0]!,
    layers: [...numbers].sort((a, b) => a - b),
    prefixPositions,
    suffixPositions,
    tied: !halves,
    positionsOf: 'prompt',
    activation,
    dropout,
  });
  return attach(base, [method], { state });
};
