import { everyTo, optimizers, schedules, trainingArguments } from './hugging-face.ts';
import {
  all,
  type Change,
  type Foreign,
  left,
  listOf,
  numberTo,
  oneOf,
  type Rule,
  type Trainer,
  to,
  whenOn,
} from './rules.ts';

/** Formats of axolotl's datasets by their `type`. */
const formats: Readonly<Record<string, string>> = {
  alpaca: 'alpaca',
  chat_template: 'messages',
  sharegpt: 'messages',
  completion: 'text',
};

const asList = (value: unknown): readonly Foreign[] => (Array.isArray(value) ? value : [value]) as readonly Foreign[];

/** Datasets: their paths, and the format where it is one that is told here too. What else they say is named. */
const datasets: Rule = (value) => {
  const sets = asList(value);
  const paths = sets.flatMap(({ path, data_files: files }) => (files === undefined ? [String(path)] : listOf(files)));
  const types = new Set(sets.map(({ type }) => String(type)));
  const format = types.size === 1 ? formats[[...types][0]!] : undefined;
  const known = ['path', 'type', 'data_files', 'ds_type', 'split'];
  const others = [...new Set(sets.flatMap((one) => Object.keys(one).filter((key) => !known.includes(key))))];
  const changes: Change[] = [['data.train', paths], ...(format ? [['data.format', format] as const] : [])];
  const untold = [
    ...(format || types.has('undefined')
      ? []
      : [`the format by type ${[...types].join(', ')}: it is told by the fields of the examples`]),
    ...(others.length > 0 ? [`${others.join(', ')}: fields that are called otherwise are data.fields`] : []),
  ];
  return untold.length > 0 ? { left: untold.join('; '), changes } : changes;
};

const targets: Rule = (value, { lora_target_linear: linear }) =>
  linear === true ? [] : [['method.target', typeof value === 'string' && !value.includes(',') ? value : listOf(value)]];

/** axolotl's optimisers: those of transformers, and its own names. */
const optimizer: Rule = (value, given) =>
  value === 'adamw' ? [['optimizer.name', 'adamw']] : optimizers(value, given);

/**
 * axolotl: the keys of `AxolotlInputConfig`.
 * https://github.com/axolotl-ai-cloud/axolotl, src/axolotl/utils/schemas
 */
export const axolotl: Trainer = {
  name: 'axolotl',
  marks: ['base_model', 'datasets', 'micro_batch_size', 'sequence_len', 'lora_r', 'val_set_size', 'adapter'],
  rules: {
    ...trainingArguments,
    base_model: to('model'),
    ...all('base_model_config tokenizer_config', left("the model's own are used")),
    datasets,
    test_datasets: (value) => {
      const sets = asList(value);
      return sets.length === 1 ? [['data.heldOut', sets[0]!['path']]] : { problem: 'data.heldOut is one file' };
    },
    val_set_size: (value) =>
      Number(value) < 1 ? [['data.heldOut', value]] : { problem: 'data.heldOut is a share of the examples, below 1' },
    adapter: oneOf({ lora: [], qlora: [['quantize', 'nf4']] }),
    load_in_4bit: whenOn(() => [['quantize', 'nf4']]),
    load_in_8bit: whenOn(() => [['quantize', 'int8']]),
    lora_r: to('method.rank'),
    lora_alpha: to('method.alpha'),
    lora_dropout: numberTo('method.dropout'),
    lora_target_modules: targets,
    lora_target_linear: whenOn(() => [['method.target', 'all-linear']]),
    lora_modules_to_save: (value) => [['method.modulesToSave', listOf(value)]],
    lora_model_dir: (value) => (value ? { problem: 'an adapter is always a new one' } : []),
    peft_use_dora: whenOn(() => [['method.name', 'dora']]),
    peft_use_rslora: whenOn(to('method.rsLora')),
    peft_layers_to_transform: to('method.layers'),
    peft_layers_pattern: to('method.layersPattern'),
    peft_init_lora_weights: (value) =>
      value === true ? [] : { problem: 'methods with other first values have their own names here, as pissa' },
    loraplus_lr_ratio: (value) => [
      ['method.name', 'loraPlus'],
      ['method.ratio', value],
    ],
    chat_template: left("conversations are written by the model's own chat template; another: data.template, a file"),
    chat_template_jinja: left('write it into a file and name that as data.template'),
    sequence_len: to('data.context'),
    ...all('sample_packing multipack_real_batches', left('examples are not packed; the same is learnt of each')),
    train_on_inputs: (value) => [['data.learn', value === true ? 'all' : 'assistant']],
    micro_batch_size: to('batchSize'),
    num_epochs: numberTo('epochs'),
    optimizer,
    lr_scheduler: schedules,
    cosine_min_lr_ratio: numberTo('schedule.floor'),
    eval_steps: everyTo('evaluateEvery'),
    rl: oneOf({
      dpo: [['objective.name', 'dpo']],
      ipo: [
        ['objective.name', 'dpo'],
        ['objective.loss', 'ipo'],
      ],
      orpo: [['objective.name', 'orpo']],
      simpo: [['objective.name', 'simpo']],
      kto: [['objective.name', 'kto']],
    }),
    rl_beta: (value, { rl }) => (rl ? [['objective.beta', value]] : { left: 'is of rl' }),
    early_stopping_patience: (value) => (value ? { left: 'a run goes to its end' } : []),
    special_tokens: (value) =>
      value && Object.keys(value as object).length > 0
        ? { problem: 'tokens are those of the tokenizer; change its files' }
        : [],
    tokens: (value) =>
      Array.isArray(value) && value.length > 0
        ? { problem: 'no tokens are added; change the files of the tokenizer' }
        : [],
  },
  requires: ({ adapter }) =>
    adapter ? null : 'adapter is missing, which trains the whole model; adapters are trained here: adapter: lora',
  defaults: () => [
    ['method.name', 'lora'],
    ['schedule.name', 'cosine'],
    ['optimizer.name', 'adamw'],
    ['optimizer.weightDecay', 0],
    ['optimizer.clip', 1],
    ['epochs', 1],
    ['batchSize', 1],
    ['accumulate', 1],
    ['seed', 42],
    ['data.heldOut', 0],
  ],
};
