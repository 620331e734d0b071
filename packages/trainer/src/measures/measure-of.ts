import { checkOptions, mustBe, PeftError } from '@peftjs/tensor';
import { accuracy } from './accuracy.ts';
import { pearson, spearman } from './correlation.ts';
import { entityScores } from './entities.ts';
import { type Average, f1, f1OfSets } from './f1.ts';
import { mcc } from './mcc.ts';
import type { Measure, Numbers, Outcomes } from './measure.ts';
import { spanScores } from './spans.ts';

type Kind = Outcomes['kind'];

interface Row {
  readonly kinds: readonly Kind[];
  of(outcomes: Outcomes): Readonly<Record<string, number>>;
}

/** A row of one kind of outcomes. */
const of = <K extends Kind>(kind: K, measure: (o: Extract<Outcomes, { kind: K }>) => Record<string, number>): Row => ({
  kinds: [kind],
  of: (outcomes) => measure(outcomes as Extract<Outcomes, { kind: K }>),
});

const f1Of = (name: string, average: Exclude<Average, 'binary'>): Row => ({
  kinds: ['classes', 'label sets'],
  of: (o) => ({
    [name]:
      o.kind === 'classes'
        ? f1(o.predicted, o.wanted, average)
        : f1OfSets((o as Numbers).predicted, (o as Numbers).wanted, average),
  }),
});

/** The mean over a row's numbers. */
const overColumns = (measure: typeof pearson, { predicted, wanted }: Numbers): number => {
  const columns = wanted[0]?.length ?? 0;
  const of = (rows: Numbers['wanted'], i: number): number[] => rows.map((row) => row[i]!);
  return (
    Array.from({ length: columns }, (_, i) => measure(of(predicted, i), of(wanted, i))).reduce((a, b) => a + b, 0) /
    columns
  );
};

const right = (o: Outcomes): number => {
  if (o.kind === 'tags') return accuracy(o.predicted.flat(), o.wanted.flat());
  return accuracy(o.predicted as readonly number[], o.wanted as readonly number[]);
};

const rows = {
  accuracy: { kinds: ['classes', 'label sets', 'tags'], of: (o) => ({ accuracy: right(o) }) },
  f1: of('classes', (o) => ({ f1: f1(o.predicted, o.wanted, 'binary') })),
  macroF1: f1Of('macroF1', 'macro'),
  microF1: f1Of('microF1', 'micro'),
  weightedF1: f1Of('weightedF1', 'weighted'),
  mcc: of('classes', (o) => ({ mcc: mcc(o.predicted, o.wanted) })),
  pearson: of('numbers', (o) => ({ pearson: overColumns(pearson, o) })),
  spearman: of('numbers', (o) => ({ spearman: overColumns(spearman, o) })),
  entities: of('tags', (o) => {
    const { precision, recall, f1: both } = entityScores(o.predicted, o.wanted);
    return { precision, recall, f1: both };
  }),
  spans: of('spans', (o) => ({ ...spanScores(o.predicted, o.wanted) })),
} as const satisfies Readonly<Record<string, Row>>;

/** A measure that has a name. */
export type MeasureName =
  | 'accuracy'
  | 'f1'
  | 'macroF1'
  | 'microF1'
  | 'weightedF1'
  | 'mcc'
  | 'pearson'
  | 'spearman'
  | 'entities'
  | 'spans';

/** The names of all measures. */
export const measureNames: readonly string[] = Object.keys(rows);

const usual: Readonly<Record<Kind, readonly MeasureName[]>> = {
  classes: ['accuracy', 'macroF1', 'mcc'],
  'label sets': ['accuracy', 'microF1', 'macroF1'],
  numbers: ['pearson', 'spearman'],
  tags: ['accuracy', 'entities'],
  spans: ['spans'],
};

/** The measures that predictions of a kind have by default. */
export const usualMeasures = (kind: Kind): readonly MeasureName[] => usual[kind];

/** A measure by its name, or one of the caller's own. Throws `bad-option` where there is none of the name, or where it is one of other predictions. */
export const measureOf = (given: MeasureName | Measure, kind: Kind): Measure => {
  if (typeof given === 'function') return given;
  checkOptions('metrics', { name: mustBe.given(mustBe.oneOf(measureNames)) }, { name: given });
  const row: Row = rows[given];
  if (row.kinds.includes(kind)) return row.of;
  const fitting = measureNames.filter((name) => (rows[name as MeasureName] as Row).kinds.includes(kind));
  throw new PeftError(
    'bad-option',
    `metrics: ${given} is a measure of ${row.kinds.join(' or ')}, and the task predicts ${kind}; take one of ${fitting.join(', ')}`,
  );
};
