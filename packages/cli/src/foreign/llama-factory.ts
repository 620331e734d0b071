import { optimizers, schedules, trainingArguments } from './hugging-face.ts';
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

const problem =
  (reason: string): Rule =>
  () => ({ problem: reason });

/** The files of datasets, which are names in `dataset_info.json` of a folder: of those that aren't there the file of the same name is meant. */
const filesOf = (names: unknown, { dataset_dir: dir = 'data', dataset_info: info = {} }: Foreign): readonly string[] =>
  listOf(names).map((name) => {
    const { file_name: file } = ((info as Foreign)[name] ?? {}) as { readonly file_name?: string };
    return `${String(dir)}/${file ?? `${name}.json`}`;
  });

const targetOf: Rule = (value) => [['method.target', value === 'all' ? 'all-linear' : listOf(value)]];

/** The loss of pairs, by `stage: dpo` and `pref_loss`. */
const preference = ({ pref_loss: loss = 'sigmoid' }: Foreign): readonly Change[] =>
  loss === 'orpo' || loss === 'simpo'
    ? [['objective.name', loss]]
    : [['objective.name', 'dpo'], ...(loss === 'sigmoid' ? [] : ([['objective.loss', loss]] as const))];

const stages: Readonly<Record<string, Rule>> = {
  pt: () => [],
  sft: () => [],
  dpo: (_, given) => preference(given),
  kto: () => [['objective.name', 'kto']],
};

const isOf =
  (stage: string, rule: Rule): Rule =>
  (value, given) =>
    given['stage'] === stage ? rule(value, given) : { left: `is of stage ${stage}` };

/**
 * LLaMA-Factory: the keys of its `ModelArguments`, `DataArguments`, `FinetuningArguments` and of transformers' `TrainingArguments`.
 * https://github.com/hiyouga/LLaMA-Factory, src/llamafactory/hparams
 */
export const llamaFactory: Trainer = {
  name: 'LLaMA-Factory',
  marks: ['model_name_or_path', 'finetuning_type', 'stage', 'cutoff_len', 'lora_rank', 'dataset_dir'],
  rules: {
    ...trainingArguments,
    model_name_or_path: to('model'),
    stage: (value, given) =>
      stages[String(value)]?.(value, given) ?? {
        problem: `the stages ${Object.keys(stages).join(', ')} are learnt here`,
      },
    finetuning_type: oneOf({ lora: [], oft: [['method.name', 'oft']] }),
    lora_rank: to('method.rank'),
    lora_alpha: to('method.alpha'),
    lora_dropout: numberTo('method.dropout'),
    lora_target: targetOf,
    additional_target: (value) => [['method.modulesToSave', listOf(value)]],
    use_rslora: whenOn(to('method.rsLora')),
    use_dora: whenOn(() => [['method.name', 'dora']]),
    pissa_init: whenOn(() => [['method.name', 'pissa']]),
    pissa_iter: left('singular values are exact here'),
    loraplus_lr_ratio: (value) => [
      ['method.name', 'loraPlus'],
      ['method.ratio', value],
    ],
    quantization_bit: (value, { quantization_type: type = 'nf4' }) => {
      if (value === 4 && (type === 'nf4' || type === 'fp4')) return [['quantize', type]];
      return value === 8 ? [['quantize', 'int8']] : { problem: '4 (nf4, fp4) and 8 bits are possible here' };
    },
    quantization_type: () => [],
    ...all('quantization_method double_quantization', left('scales of blocks are kept in f32 here')),
    dataset: (value, given) => [['data.train', filesOf(value, given)]],
    dataset_dir: () => [],
    eval_dataset: (value, given) => {
      const files = filesOf(value, given);
      return files.length === 1 ? [['data.heldOut', files[0]]] : { problem: 'data.heldOut is one file' };
    },
    val_size: (value) =>
      Number(value) < 1 ? [['data.heldOut', value]] : { problem: 'data.heldOut is a share of the examples, below 1' },
    template: left("conversations are written by the model's own chat template; another: data.template, a file"),
    cutoff_len: to('data.context'),
    train_on_prompt: (value) => [['data.learn', value === true ? 'all' : 'assistant']],
    mask_history: whenOn(problem('all turns of the assistant are learnt here')),
    ...all('packing neat_packing', left('examples are not packed; the same is learnt of each')),
    max_samples: left('all examples are read: shorten the file'),
    streaming: left('data is streamed'),
    per_device_train_batch_size: to('batchSize'),
    num_train_epochs: numberTo('epochs'),
    optim: optimizers,
    lr_scheduler_type: schedules,
    disable_gradient_checkpointing: (value) => [['recompute', value !== true]],
    pref_beta: (value, given) =>
      given['stage'] === 'dpo' || given['stage'] === 'kto' ? [['objective.beta', value]] : { left: 'is of stage dpo' },
    pref_loss: isOf('dpo', () => []),
    pref_ftx: (value) => (Number(value) === 0 ? [] : { problem: 'a supervised share of DPO is not there' }),
    dpo_label_smoothing: isOf('dpo', (value) => (Number(value) === 0 ? [] : [['objective.labelSmoothing', value]])),
    simpo_gamma: (value, given) =>
      given['pref_loss'] === 'simpo' ? [['objective.margin', value]] : { left: 'is of pref_loss simpo' },
    kto_chosen_weight: isOf('kto', to('objective.desirable')),
    kto_rejected_weight: isOf('kto', to('objective.undesirable')),
    ...all(
      'ref_model ref_model_adapters ref_model_quantization_bit',
      left('the reference is the base without the adapter'),
    ),
    create_new_adapter: left('an adapter is always a new one'),
  },
  defaults: ({ lora_rank: rank = 8 }) => [
    ['method.name', 'lora'],
    ['method.rank', rank],
    ['method.alpha', 2 * Number(rank)],
    ['method.target', 'all-linear'],
    ['optimizer.rate', 5e-5],
    ['optimizer.clip', 1],
    ['optimizer.weightDecay', 0],
    ['schedule.name', 'linear'],
    ['schedule.warmup', 0],
    ['epochs', 3],
    ['batchSize', 8],
    ['recompute', true],
    ['seed', 42],
    ['data.context', 2048],
    ['data.heldOut', 0],
  ],
};
