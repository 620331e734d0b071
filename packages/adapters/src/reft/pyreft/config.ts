import { shown } from '@peftjs/tensor';

/** Interventions of pyreft that are computed here. */
export type PyreftClass = 'LoreftIntervention' | 'NoreftIntervention' | 'DireftIntervention' | 'NodireftIntervention';

const classes: readonly PyreftClass[] = [
  'LoreftIntervention',
  'NoreftIntervention',
  'DireftIntervention',
  'NodireftIntervention',
];

/** An intervention in a folder of pyreft. */
export interface Intervention {
  /** The name of the file that holds its tensors. */
  readonly file: string;
  /** The number of its layer, or the path of the module whose output it changes. */
  readonly place: number | string;
  /** Its rank; null where the folder leaves that to the tensors. */
  readonly rank: number | null;
}

/** The interventions of a folder, all of one class, in their order. */
export interface PyreftConfig {
  readonly kind: PyreftClass;
  readonly interventions: readonly Intervention[];
}

/** Fields of a representation, which files hold as a list, after its layer, component, unit, number of units and rank. */
const further: readonly string[] = [
  'intervention_type',
  'intervention',
  'subspace_partition',
  'group_key',
  'intervention_link_key',
  'moe_key',
  'source_representation',
  'hidden_source_representation',
  'latent_dim',
];

const isWhole = (v: unknown): v is number => Number.isSafeInteger(v) && (v as number) >= 0;

/** The one class of all interventions; null where it is not computed here, which goes to `problems`. */
const classOf = (types: unknown, count: number, problems: string[]): PyreftClass | null => {
  if (!Array.isArray(types) || types.length !== count) {
    problems.push(`intervention_types must list ${count} classes, one for each representation, got ${shown(types)}`);
    return null;
  }
  const kinds = [...new Set<unknown>(types)];
  const kind = classes.find((name) => kinds[0] === `<class 'pyreft.interventions.${name}'>`);
  if (kinds.length === 1 && kind) return kind;
  problems.push(
    `its interventions are ${kinds.map(shown).join(' and ')}; those of one class of pyreft.interventions are computed here: ${classes.join(', ')}`,
  );
  return null;
};

/** The place that a component names: `block_output` of a layer, or `model.layers[3].output`. */
const placeOf = (layer: unknown, component: unknown): number | string | null => {
  if (component === 'block_output') return isWhole(layer) ? layer : null;
  const path = typeof component === 'string' && /^([\w.[\]]+)\.output$/.exec(component);
  return path ? path[1]!.replaceAll(/\[(\d+)\]/g, '.$1') : null;
};

/**
 * The interventions that a `config.json` of pyreft describes. `most` is how many the model has places for. What is not computed here, and
 * what contradicts itself, goes to `problems`. Source: pyvene 0.1.8, `IntervenableModel.save`, https://github.com/stanfordnlp/pyvene
 */
export const parsePyreftConfig = (
  { mode, representations, intervention_types: types }: Readonly<Record<string, unknown>>,
  most: number,
  problems: string[],
): PyreftConfig | null => {
  if (mode !== undefined && mode !== 'parallel') problems.push(`mode must be "parallel", got ${shown(mode)}`);
  if (!Array.isArray(representations) || representations.length === 0 || representations.length > most) {
    const got = Array.isArray(representations) ? `${representations.length}` : shown(representations);
    problems.push(`representations must list 1 to ${most} places in this model, got ${got}`);
    return null;
  }
  const kind = classOf(types, representations.length, problems);
  const counts = new Map<string, number>();
  const interventions = (representations as readonly unknown[]).flatMap((given, i): Intervention[] => {
    const own: readonly unknown[] = Array.isArray(given) ? given : [];
    const [layer, component, unit, units, rank, ...rest] = own.slice(0, 5 + further.length);
    const asked = rest.flatMap((v, at) => (v == null ? [] : [`${further[at]} ${shown(v)}`]));
    if (own.length > 5 + further.length) asked.push(`${own.length} fields, of which ${5 + further.length} are known`);
    const place = placeOf(layer, component);
    if (place === null)
      asked.unshift(`component ${shown(component)} of layer ${shown(layer)}, where block_output is computed here`);
    if (unit !== 'pos' || units !== 1) asked.push(`unit ${shown(unit)}, ${shown(units)} at once, where 1 "pos" is`);
    if (rank != null && !isWhole(rank)) asked.push(`low_rank_dimension ${shown(rank)}`);
    if (asked.length > 0) problems.push(`representation ${i} asks for ${asked.join('; ')}`);
    if (asked.length > 0 || place === null) return [];
    const name = String(component);
    const at = name.includes('.') ? `comp_${name.replaceAll('.', '_')}` : `layer_${layer}_comp_${name}`;
    const nth = counts.get(at) ?? 0;
    counts.set(at, nth + 1);
    return [{ file: `intkey_${at}_unit_pos_nunit_1#${nth}.bin`, place, rank: (rank as number | null) ?? null }];
  });
  return kind && problems.length === 0 ? { kind, interventions } : null;
};
