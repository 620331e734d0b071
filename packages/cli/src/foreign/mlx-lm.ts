import { all, type Change, type Foreign, left, numberTo, oneOf, type Rule, type Trainer, to } from './rules.ts';

const isRecord = (value: unknown): value is Foreign =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** LoRA's own: its `scale` is the factor of the product, which is alpha over rank here. */
const parameters: Rule = (value) => {
  if (!isRecord(value)) return { problem: 'is no object' };
  const { rank = 8, scale = 10, dropout = 0, keys, alpha: _, ...others } = value;
  const changes: Change[] = [
    ['method.rank', rank],
    ['method.alpha', Number(scale) * Number(rank)],
    ['method.dropout', dropout],
    ...(Array.isArray(keys) ? [['method.target', keys] as const] : []),
  ];
  const names = Object.keys(others);
  return names.length > 0 ? { left: `${names.join(', ')} of it`, changes } : changes;
};

/** The last n blocks; which they are needs the number that the model has. */
const layers: Rule = (value, { layers: all }) => {
  if (value === -1) return [];
  if (typeof all !== 'number')
    return {
      problem: `means the last ${value} blocks, and how many there are is not known without the model's folder: give num_layers: -1 for all, and method.layers in the YAML`,
    };
  const from = Math.max(0, all - Number(value));
  return from === 0 ? [] : [['method.layers', Array.from({ length: all - from }, (_, i) => from + i)]];
};

/** `cosine_decay` from a rate to another over so many steps, after a warm-up in steps. */
const schedule: Rule = (value, { iters }) => {
  if (!isRecord(value)) return { problem: 'is no object' };
  const { name, warmup = 0, warmup_init: first = 0, arguments: given } = value;
  const [rate, steps, end = 0] = (Array.isArray(given) ? given : []).map(Number);
  if (name !== 'cosine_decay') return { problem: 'cosine_decay is what is known of its schedules' };
  if (Number(first) !== 0) return { problem: 'a warm-up begins at 0 here' };
  if (!rate || !steps || (iters !== undefined && Number(iters) !== steps + Number(warmup) && Number(iters) !== steps))
    return { problem: 'its arguments are a rate and the steps of the run' };
  return [
    ['optimizer.rate', rate],
    ['schedule.name', 'cosine'],
    ['schedule.warmup', Number(warmup) / Number(iters ?? steps)],
    ['schedule.floor', Number((end / rate).toPrecision(6))],
  ];
};

/** Options of the optimiser that is chosen. */
const optimizerOptions: Rule = (value, { optimizer = 'adam' }) => {
  const own = isRecord(value) ? (value[String(optimizer)] ?? {}) : {};
  const { betas, eps, weight_decay: decay, bias_correction: corrects, ...others } = own as Foreign;
  const changes: Change[] = [
    ...(Array.isArray(betas)
      ? ([
          ['optimizer.beta1', betas[0]],
          ['optimizer.beta2', betas[1]],
        ] as const)
      : []),
    ...(eps === undefined ? [] : [['optimizer.eps', Number(eps)] as const]),
    ...(decay === undefined ? [] : [['optimizer.weightDecay', Number(decay)] as const]),
  ];
  const names = [...Object.keys(others), ...(corrects === false ? ['bias_correction: false'] : [])];
  return names.length > 0 ? { left: names.join(', '), changes } : changes;
};

/**
 * mlx-lm: the keys of `mlx_lm.lora`'s configuration.
 * https://github.com/ml-explore/mlx-lm, mlx_lm/lora.py
 */
export const mlxLm: Trainer = {
  name: 'mlx-lm',
  marks: [
    'fine_tune_type',
    'iters',
    'num_layers',
    'lora_parameters',
    'steps_per_eval',
    'adapter_path',
    'grad_checkpoint',
    'mask_prompt',
  ],
  rules: {
    model: to('model'),
    train: () => [],
    fine_tune_type: oneOf({ lora: [], dora: [['method.name', 'dora']] }),
    training_mode: oneOf({ normal: [] }),
    data: (value) => [
      ['data.train', [`${String(value).replace(/\/$/, '')}/train.jsonl`]],
      ['data.heldOut', `${String(value).replace(/\/$/, '')}/valid.jsonl`],
    ],
    optimizer: oneOf({
      adam: [
        ['optimizer.name', 'adamw'],
        ['optimizer.weightDecay', 0],
      ],
      adamw: [
        ['optimizer.name', 'adamw'],
        ['optimizer.weightDecay', 0.01],
      ],
      muon: [['optimizer.name', 'muon']],
      sgd: [['optimizer.name', 'sgd']],
      adafactor: [['optimizer.name', 'adafactor']],
    }),
    optimizer_config: optimizerOptions,
    learning_rate: numberTo('optimizer.rate'),
    lr_schedule: schedule,
    num_layers: layers,
    batch_size: to('batchSize'),
    iters: to('steps'),
    grad_accumulation_steps: to('accumulate'),
    steps_per_eval: to('evaluateEvery'),
    save_every: to('checkpointEvery'),
    max_seq_length: to('data.context'),
    grad_checkpoint: to('recompute'),
    mask_prompt: (value) => [['data.learn', value === true ? 'assistant' : 'all']],
    lora_parameters: parameters,
    seed: to('seed'),
    adapter_path: to('out'),
    ...all('steps_per_report wandb report_to project_name', left('every step is logged, in log.jsonl and report.html')),
    ...all(
      'val_batches test test_batches',
      left('all that is held out is measured; peftjs evaluate measures other examples'),
    ),
    resume_adapter_file: (value) => (value ? { problem: 'an adapter is always a new one' } : []),
    config: () => [],
    hf_dataset: () => ({ problem: 'examples are files here: download them, and name them as data.train' }),
  },
  defaults: ({ lora_parameters: own, lr_schedule: hasSchedule }) => [
    ['method.name', 'lora'],
    ...(own === undefined
      ? ([
          ['method.rank', 8],
          ['method.alpha', 80],
        ] as const)
      : []),
    ['method.target', 'all-linear'],
    ['optimizer.name', 'adamw'],
    ['optimizer.weightDecay', 0],
    ['optimizer.clip', 0],
    ['optimizer.rate', 1e-5],
    ...(hasSchedule
      ? []
      : ([
          ['schedule.name', 'constant'],
          ['schedule.warmup', 0],
        ] as const)),
    ['steps', 1000],
    ['batchSize', 4],
    ['data.context', 2048],
    ['data.learn', 'all'],
  ],
};
