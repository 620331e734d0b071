import { PeftError } from '@peftjs/tensor';
import type { Model, ModelLayout } from './model.ts';
import { linearOf, type Parts, patchParts } from './parts.ts';
import { type Call, makePass } from './pass.ts';
import { firstRow } from './position-rows.ts';
import { withRepeated } from './repeat-layers.ts';
import { partsOf, type RoleRow } from './roles.ts';
import { type Ran, runTower } from './run-tower.ts';
import { sequenceOf } from './sequence-of.ts';
import { type Path, runAround, type SiteName } from './sites.ts';
import type { Inputs, States } from './states.ts';
import type { Pair } from './tasks/task.ts';
import { type Before, batchOf, passOf, skippedTower } from './tower-pass.ts';
import { type TowerSpec, towerOf } from './tower-spec.ts';

/** The shape of a model, whatever its weights. */
export interface Architecture {
  /** In the order of a pass; the task reads the last. */
  readonly towers: readonly [TowerSpec, ...TowerSpec[]];
  readonly layout: ModelLayout;
  readonly roles: readonly RoleRow[];
  readonly trainedHeads: Model['trainedHeads'];
  readonly narrow: Model['narrow'];
  /** How it compares pictures with texts; null where it does not. */
  readonly pair: { readonly size: number; of(model: Model, states: States, inputs: Inputs): Pair } | null;
}

/** The path of the site `model`. */
const wholePass = '';

/** The states of the towers that ran; the last is the main one. */
const stateOf = (
  ran: ReadonlyMap<string, Ran>,
  callAt: States['call'],
  pairOf: (states: States) => Pair | null,
): States => {
  const states: States = {
    main: [...ran.values()].at(-1)!.states,
    rows: [...ran.values()].at(-1)!.rows,
    byTower: new Map([...ran].map(([name, { states }]) => [name, states])),
    call: callAt,
    pair: () => pairOf(states),
  };
  return states;
};

/** The towers that run: of those that stand side by side the ones whose input is there. Throws `bad-option` where there is none. */
const running = (towers: readonly TowerSpec[], inputs: Inputs): readonly [TowerSpec, ...TowerSpec[]] => {
  const [first, ...others] = towers.filter(({ alone, reads }) => !alone || inputs[reads.ids]);
  if (first) return [first, ...others];
  throw new PeftError(
    'bad-option',
    `model: one of the inputs ${towers.map(({ reads }) => reads.ids).join(', ')} is needed; got ${Object.keys(inputs).join(', ') || 'none'}`,
  );
};

/** A model of an architecture and its parts. */
export const makeModel = (architecture: Architecture, parts: Parts): Model => {
  const { towers, layout, roles, trainedHeads, narrow, pair } = architecture;
  const last = towers.at(-1)!;
  const main = towerOf(last);
  const paths = (site: SiteName): readonly string[] =>
    site === 'model' ? [wholePass] : towers.flatMap((tower) => tower.paths[site] ?? []);
  const shiftOf = (tower: TowerSpec): number => (tower === last ? parts.positionShift : 0);
  const learned = towers.flatMap((tower) =>
    tower.positionTable === null
      ? []
      : [parts.embeddings.get(tower.positionTable)!.rows - firstRow(tower) - shiftOf(tower)],
  );
  const computed = towers.map((tower) => (tower.positionLimit ?? Number.POSITIVE_INFINITY) - shiftOf(tower));
  const model: Model = {
    linears: parts.linears,
    norms: parts.norms,
    embeddings: parts.embeddings,
    experts: parts.experts,
    around: parts.around,
    towers: towers.map(towerOf) as unknown as Model['towers'],
    main,
    layout: {
      ...layout,
      ...(parts.reweighted && { name: null }),
      ...(parts.headsKept && { trainedModules: [] }),
    },
    trainedHeads: parts.headsKept ? [] : trainedHeads,
    narrow,
    batchSize: parts.batchSize,
    pairSize: pair?.size ?? null,
    positionsLeft: Math.min(...computed, ...learned),
    passPositions: Math.min(Number.POSITIVE_INFINITY, ...learned),
    paths,
    widthAt: (path) => {
      const at = towers.find((tower) => Object.values(tower.paths).some((all) => all.includes(path))) ?? last;
      return at.widthAt?.(path) ?? at.hiddenSize;
    },
    parts: (wanted) => partsOf(parts.linears, roles, wanted),
    with: (patch) => makeModel(architecture, patchParts(parts, patch, paths)),
    repeat: (ranges) => {
      if (layout.repeats)
        throw new PeftError('bad-option', 'repeatLayers: the layers are repeated already; give all ranges at once');
      const { tower, parts: all } = withRepeated(towers, parts, ranges);
      return makeModel({ ...architecture, towers: [tower], layout: { ...layout, repeats: ranges } }, all);
    },
    states: (inputs, given = {}) => {
      const options = { ...given, recompute: given.recompute ?? parts.recompute };
      const reading = running(towers, inputs);
      const pass = makePass(inputs, batchOf(inputs, reading.at(-1)!, parts), parts.training, options);
      const callOf = (path: Path, spec: TowerSpec, read: Inputs): Call => {
        const own = passOf(spec, pass, read, parts);
        return {
          pass: own,
          path,
          tower: towerOf(spec),
          sequence: sequenceOf(spec, read, own, spec === last ? options : {}),
          layer: null,
          stream: null,
          norm: null,
          attended: null,
          over: null,
          linear: (of, x) => linearOf(parts, of).apply(x, callOf(of, spec, read)),
        };
      };
      parts.watch(pass);
      const whole = (read: Inputs): States => {
        const { positions: _, positionLimit: __, cache, ...others } = options;
        const ran = new Map<string, Ran>();
        const before = new Map<string, Before>();
        const reading = running(towers, read);
        for (const tower of reading) {
          if (tower !== last && cache?.continues) {
            before.set(tower.name, skippedTower(tower, read));
            continue;
          }
          const own =
            tower === last
              ? runTower(tower, parts, pass, read, before, pass.options)
              : runTower(tower, { ...parts, positionShift: 0 }, pass, read, before, others);
          ran.set(tower.name, own);
          before.set(tower.name, own);
        }
        const callAt: States['call'] = (path, name) =>
          callOf(path, reading.find((tower) => tower.name === name) ?? reading.at(-1)!, read);
        return stateOf(ran, callAt, (states) => pair?.of(model, states, read) ?? null);
      };
      return runAround(
        parts.around.model?.get(wholePass) ?? [],
        whole,
        callOf(wholePass, reading.at(-1)!, inputs),
      )(inputs);
    },
  };
  return model;
};
