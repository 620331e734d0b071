import { all, left, numberTo, oneOf, type Rule, to } from './rules.ts';

const named = (path: string, names: Readonly<Record<string, string>>): Rule =>
  oneOf(Object.fromEntries(Object.entries(names).map(([theirs, ours]) => [theirs, [[path, ours]]])));

/** Optimisers by the names of transformers' `OptimizerNames`. */
export const optimizers: Rule = named('optimizer.name', {
  adamw_torch: 'adamw',
  adamw_torch_fused: 'adamw',
  adamw_hf: 'adamw',
  paged_adamw_32bit: 'adamw',
  adamw_8bit: 'adamw8bit',
  adamw_bnb_8bit: 'adamw8bit',
  paged_adamw_8bit: 'adamw8bit',
  lion_32bit: 'lion',
  paged_lion_32bit: 'lion',
  adafactor: 'adafactor',
  sgd: 'sgd',
  muon: 'muon',
  schedule_free_adamw: 'scheduleFree',
});

/** Schedules by the names of transformers' `SchedulerType`. */
export const schedules: Rule = named('schedule.name', {
  linear: 'linear',
  cosine: 'cosine',
  cosine_with_restarts: 'cosineRestarts',
  polynomial: 'polynomial',
  constant: 'constant',
  constant_with_warmup: 'constant',
  inverse_sqrt: 'inverseSqrt',
  warmup_stable_decay: 'wsd',
  reduce_lr_on_plateau: 'reduceOnPlateau',
});

/** A warm-up in steps as a share of them, which needs their number. */
const warmupSteps: Rule = (value, { max_steps: steps }) => {
  const warmup = Number(value);
  if (warmup === 0) return [['schedule.warmup', 0]];
  if (typeof steps === 'number' && steps >= warmup) return [['schedule.warmup', warmup / steps]];
  return { problem: 'is a number of steps; schedule.warmup is a share of them, so give max_steps, or warmup_ratio' };
};

/** A number of steps between two of something; a share of all is none. */
export const everyTo =
  (path: string): Rule =>
  (value) =>
    Number.isInteger(value) && (value as number) > 0
      ? [[path, value]]
      : { left: `${path} is a whole number of steps; its default holds` };

/** Names of `report_to` that a run's numbers can go to, one or a list. */
const logs: Rule = (value) => {
  const asked = (Array.isArray(value) ? value : [value]).map(String);
  const known = asked.filter((name) => ['tensorboard', 'mlflow', 'wandb'].includes(name));
  const other = asked.filter((name) => !known.includes(name) && name !== 'none');
  if (other.length > 0) return { left: 'logs has tensorboard, mlflow and wandb' };
  return known.length > 0 ? [['logs', known]] : [];
};

/** Keys of transformers' `TrainingArguments`, which LLaMA-Factory and axolotl have too. */
export const trainingArguments: Readonly<Record<string, Rule>> = {
  learning_rate: numberTo('optimizer.rate'),
  weight_decay: numberTo('optimizer.weightDecay'),
  adam_beta1: numberTo('optimizer.beta1'),
  adam_beta2: numberTo('optimizer.beta2'),
  adam_epsilon: numberTo('optimizer.eps'),
  max_grad_norm: numberTo('optimizer.clip'),
  gradient_accumulation_steps: to('accumulate'),
  warmup_ratio: numberTo('schedule.warmup'),
  warmup_steps: warmupSteps,
  max_steps: (value) => (Number(value) > 0 ? [['steps', value]] : []),
  gradient_checkpointing: (value) => [['recompute', value === true || value === 'unsloth']],
  seed: to('seed'),
  output_dir: to('out'),
  save_steps: everyTo('checkpointEvery'),
  eval_steps: everyTo('evaluateEvery'),
  report_to: logs,
  ...all(
    'bf16 fp16 pure_bf16 tf32 float16 bfloat16',
    left('adapters are trained in f32; dtype: f16 keeps the base in half precision'),
  ),
  ...all(
    'logging_steps logging_dir run_name plot_loss include_num_input_tokens_seen wandb_project wandb_entity wandb_name wandb_watch wandb_log_model wandb_run_id use_wandb',
    left('every step is logged, in log.jsonl and report.html'),
  ),
  ...all(
    'save_total_limit save_strategy save_only_model save_safetensors overwrite_output_dir resume_from_checkpoint auto_resume_from_checkpoints saves_per_epoch push_to_hub hub_model_id hub_strategy',
    left('a run has a folder of its own, with its last checkpoints; peftjs resume goes on'),
  ),
  ...all(
    'do_eval eval_strategy evaluation_strategy per_device_eval_batch_size eval_batch_size evals_per_epoch eval_sample_packing eval_table_size eval_max_new_tokens load_best_model_at_end metric_for_best_model',
    left('the held-out loss is measured where there is data.heldOut, see evaluateEvery'),
  ),
  ...all(
    'flash_attn flash_attention attn_implementation sdp_attention xformers_attention enable_liger_kernel liger_kernel use_unsloth deepspeed fsdp fsdp_config ddp_timeout ddp local_rank dataloader_num_workers dataloader_pin_memory dataset_processes preprocessing_num_workers overwrite_cache dataset_prepared_path group_by_length torch_compile trust_remote_code gradient_checkpointing_kwargs low_cpu_mem_usage disable_tqdm do_train train strict model_type tokenizer_type is_llama_derived_model pad_to_sequence_len eval_on_start cache_dir hf_use_auth_token use_fast_tokenizer lora_fan_in_fan_out',
    left('is about how it is computed elsewhere'),
  ),
};
