import type { AdapterHubHeadConfig, JsonObject, JsonValue } from '@peftjs/io';
import { PeftError, shown, type Tensor } from '@peftjs/tensor';
import {
  activationNames,
  type HeadName,
  type HeadStack,
  imageClassifier,
  multipleChoice,
  questionAnswering,
  sequenceClassifier,
  stackedHead,
  type Task,
  tokenClassifier,
} from '@peftjs/transformer';

type Activation = NonNullable<HeadStack['activation']>;

type Fields = Readonly<Record<string, JsonValue>>;

/** A kind of head of an `…AdapterModel`: its fields with the defaults of its class there, and the task that it is for. */
interface HeadKind {
  readonly fields: Fields;
  task(labels: readonly string[] | number, fields: Fields): Task<Tensor>;
}

const layered: Fields = { activation_function: 'tanh', dropout_prob: null, label2id: null };
const classes: Fields = { ...layered, bias: true, layers: 2, num_labels: 2, use_pooler: false };

const problemOf = (labels: readonly string[] | number): 'single-label' | 'regression' =>
  (typeof labels === 'number' ? labels : labels.length) === 1 ? 'regression' : 'single-label';

/** Source: adapter-hub/adapters 1.3, `heads/base.py`. A head with one output gives numbers there. */
const kinds: Readonly<Record<string, HeadKind>> = {
  classification: {
    fields: classes,
    task: (labels) => sequenceClassifier({ labels, problem: problemOf(labels) }),
  },
  multilabel_classification: {
    fields: classes,
    task: (labels) => sequenceClassifier({ labels, problem: 'multi-label' }),
  },
  image_classification: {
    fields: { ...classes, multilabel: false },
    task: (labels, { multilabel }) => {
      const one = problemOf(labels);
      return imageClassifier({
        labels,
        problem: multilabel && one !== 'regression' ? 'multi-label' : one,
      });
    },
  },
  tagging: {
    fields: { ...layered, layers: 1, num_labels: 2 },
    task: (labels) => tokenClassifier({ labels }),
  },
  question_answering: {
    fields: { ...layered, layers: 1, num_labels: 2 },
    task: () => questionAnswering(),
  },
  multiple_choice: {
    fields: { ...layered, layers: 2, num_choices: 2, use_pooler: false },
    task: (_, { num_choices }) => multipleChoice({ choices: num_choices as number }),
  },
};

/** Heads that the library has and that no task here has, with the reason. */
const others: Readonly<Record<string, string>> = {
  masked_lm:
    'a head over the vocabulary with layers of its own, and only the head that a model itself has is used here',
  causal_lm:
    'a head over the vocabulary with layers of its own, and only the head that a model itself has is used here',
  dependency_parsing: 'a biaffine parser of words, and there is no such task here',
};

const refuse = (problem: string): never => {
  throw new PeftError('bad-adapter', `head_config.json: ${problem}`);
};

const activations = new Map<string, Activation>([
  ...Object.entries(activationNames).map(([own, name]) => [name, own as Activation] as const),
  ['swish', 'silu'],
  ['gelu_pytorch_tanh', 'gelu-tanh'],
]);

const activationOf = (name: JsonValue): Activation | null => {
  if (name === null || name === '') return null;
  const found = typeof name === 'string' ? activations.get(name.toLowerCase()) : undefined;
  return (
    found ??
    refuse(
      `activation_function ${shown(name)} is not computed here; there are ${[...activations.keys()].join(', ')} and null`,
    )
  );
};

const isWhole = (value: JsonValue): value is number => Number.isSafeInteger(value) && (value as number) > 0;

/** Fields with the library's defaults for those that are missing. Throws `bad-adapter` for unknown ones and for values of another kind. */
const complete = (type: string, { fields }: HeadKind, config: JsonObject): Fields => {
  const { head_type: _, ...given } = config;
  const unknown = Object.keys(given).filter((field) => !Object.hasOwn(fields, field));
  if (unknown.length > 0) refuse(`a head ${type} has no field ${unknown.join(', ')} that is known here`);
  const all: Fields = { ...fields, ...given };
  for (const [field, value] of Object.entries(all)) {
    const usual = fields[field]!;
    if (typeof usual === 'boolean' && typeof value !== 'boolean')
      refuse(`${field} is ${shown(value)}, not true or false`);
    if (typeof usual === 'number' && !isWhole(value)) refuse(`${field} is ${shown(value)}, not a count`);
  }
  return all;
};

/** Names of classes, or how many there are. Throws `bad-adapter` where both are said and differ. */
const labelsOf = (names: readonly string[] | null, count: number, field: string): readonly string[] | number => {
  if (names && names.length !== count)
    refuse(`label2id names ${names.length} classes, and ${field} is ${count}; correct the file`);
  return names ?? count;
};

/** The task of a head of an `…AdapterModel`. Throws `bad-adapter` with the field for what is not computed here. */
const stackedTask = ({ config, labels: names }: AdapterHubHeadConfig): Task<Tensor> => {
  const type = config!['head_type'];
  if (typeof type !== 'string') return refuse(`head_type is ${shown(type ?? null)}, not the name of a kind of head`);
  if (Object.hasOwn(others, type)) return refuse(`head_type ${type} is ${others[type]}`);
  if (type === 'seq2seq_lm')
    return refuse(
      'head_type seq2seq_lm is the head that the model itself has; load the model with the task seq2seqLM(), and the adapter on that',
    );
  if (!Object.hasOwn(kinds, type))
    return refuse(`head_type ${shown(type)} is not known here; there are ${Object.keys(kinds).join(', ')}`);
  const kind = kinds[type]!;
  const fields = complete(type, kind, config!);
  const field = 'num_choices' in fields ? 'num_choices' : 'num_labels';
  const labels = labelsOf(names, fields[field] as number, field);
  if (type === 'question_answering' && fields['num_labels'] !== 2)
    refuse(
      `num_labels of a head question_answering is ${fields['num_labels']}, and an answer has a first and a last token: 2`,
    );
  const { layers, dropout_prob: dropout } = fields as { readonly layers: number; readonly dropout_prob: number | null };
  return stackedHead(kind.task(labels, fields), {
    layers,
    dropout,
    activation: activationOf(fields['activation_function']!),
    pooler: fields['use_pooler'] === true,
    bias: fields['bias'] !== false,
  });
};

/** The classes of transformers by how their names end. */
const ofClasses: readonly (readonly [ending: string, task: (labels: readonly string[] | number) => Task<Tensor>])[] = [
  ['ForSequenceClassification', (labels) => kinds['classification']!.task(labels, {})],
  ['ForImageClassification', (labels) => kinds['image_classification']!.task(labels, {})],
  ['ForTokenClassification', (labels) => kinds['tagging']!.task(labels, {})],
  ['ForQuestionAnswering', () => questionAnswering()],
];

/** The task that a model is to be loaded with for the head of a file. Throws `bad-adapter` for one that no task here has. */
export const taskOfHead = (head: AdapterHubHeadConfig): Task<Tensor> => {
  if (head.config) return stackedTask(head);
  const { modelClass, labels: names, outputs } = head;
  const made = ofClasses.find(([ending]) => modelClass.endsWith(ending));
  if (!made)
    return refuse(
      `model_class ${shown(modelClass)} does not tell the task; load the model with the task of that class yourself, and the head on it`,
    );
  return made[1](labelsOf(names, outputs ?? names?.length ?? 2, 'num_labels'));
};

/** Our tasks' kinds of heads in the library. */
const typeOf = ({ head, predicts }: Task<unknown>): string => {
  if (head === 'sequenceClassifier') return predicts === 'label sets' ? 'multilabel_classification' : 'classification';
  const types: { readonly [H in HeadName]?: string } = {
    imageClassifier: 'image_classification',
    tokenClassifier: 'tagging',
    questionAnswering: 'question_answering',
    multipleChoice: 'multiple_choice',
  };
  return types[head]!;
};

/** Names that a task has where none were given. */
const areDefault = (labels: readonly string[]): boolean => labels.every((label, i) => label === `LABEL_${i}`);

const numbered = (names: readonly string[]): JsonObject => Object.fromEntries(names.map((name, i) => [name, i]));

/** The fields of a stacked head; null for the head of a class of transformers. Throws `bad-adapter` for what the library has no words for. */
export const stackFields = (task: Task<unknown>): JsonObject | null => {
  const { stack, labels, predicts, choices } = task;
  if (!stack) return null;
  const outputs = labels!.length;
  if ((predicts === 'numbers') !== (outputs === 1) && (predicts === 'numbers' || predicts === 'classes'))
    throw new PeftError(
      'bad-adapter',
      `${task.name}: the adapters library takes a head with one output for a number and one with more for classes; here are ${outputs} outputs for ${predicts}, which its file cannot say`,
    );
  const type = typeOf(task);
  const { fields } = kinds[type]!;
  const names = choices === undefined ? labels! : Array.from({ length: choices }, (_, i) => `LABEL_${i}`);
  const own: JsonObject = {
    activation_function: stack.activation === null ? null : activationNames[stack.activation],
    bias: stack.bias,
    dropout_prob: stack.dropout,
    label2id: numbered(names),
    layers: stack.layers,
    multilabel: predicts === 'label sets',
    num_choices: choices ?? 0,
    num_labels: outputs,
    use_pooler: stack.pooler,
  };
  return { head_type: type, ...Object.fromEntries(Object.keys(fields).map((field) => [field, own[field]!])) };
};

/** A file's names of classes beside a task's; null where they agree, or where either has none. */
const labelFault = (names: readonly string[] | null, task: Task<unknown>): string | null => {
  const { labels, head } = task;
  if (!names || !labels || head === 'multipleChoice' || head === 'questionAnswering') return null;
  if (names.length !== labels.length)
    return `label2id names ${names.length} classes, and the model's head has ${labels.length}`;
  if (areDefault(labels) || areDefault(names) || names.every((name, i) => name === labels[i])) return null;
  return `its classes are ${names.join(', ')}, and the model's are ${labels.join(', ')}; give the task labels in that order`;
};

/** The differences between a file's head and the one that a model has; none where it fits. Throws as `taskOfHead`. */
export const headFaults = (head: AdapterHubHeadConfig, task: Task<unknown>): string[] => {
  const faults: string[] = [];
  const fault = labelFault(head.labels, task);
  if (head.config) {
    // A file may leave fields out, or name a function otherwise: it is compared by what it is read as.
    const [theirs, ours] = [stackFields(taskOfHead(head))!, stackFields(task)];
    for (const [field, value] of Object.entries(ours ?? {})) {
      if (field === 'label2id' || field === 'dropout_prob') continue;
      if (field === 'activation_function' && theirs['layers'] === 1) continue;
      if (theirs[field] !== value)
        faults.push(`${field} is ${shown(theirs[field] ?? null)}, and the model's head has ${shown(value)}`);
    }
  } else if (
    task.labels &&
    head.outputs !== null &&
    task.predicts &&
    !['choices', 'spans'].includes(task.predicts) &&
    head.outputs !== task.labels.length &&
    !fault
  )
    faults.push(`num_labels is ${head.outputs}, and the model's head has ${task.labels.length}`);
  return fault === null ? faults : [...faults, fault];
};
