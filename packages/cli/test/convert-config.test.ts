import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { convertConfig } from '../src/foreign/convert-config.ts';
import { peftjs } from './cli.ts';

const llamaFactory = `### model
model_name_or_path: my-model
trust_remote_code: true
### method
stage: dpo
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
pref_beta: 0.1
pref_loss: sigmoid
### dataset
dataset: dpo_en_demo
template: llama3
cutoff_len: 2048
max_samples: 1000
### output
output_dir: saves/dpo
logging_steps: 10
save_steps: 500
plot_loss: true
### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
report_to: [wandb, tensorboard]
learning_rate: 5.0e-6
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
resume_from_checkpoint: null
val_size: 0.1
neftune_noise_alpha: 5
`;

const axolotl = `base_model: my-model
model_type: LlamaForCausalLM
load_in_8bit: false
load_in_4bit: true
datasets:
  - path: alpaca.jsonl
    type: alpaca
dataset_prepared_path: last_run_prepared
val_set_size: 0.05
output_dir: ./outputs/qlora-out
adapter: qlora
sequence_len: 2048
sample_packing: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_linear: true
peft_use_rslora: true
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 4
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
learning_rate: 2e-4
train_on_inputs: false
gradient_checkpointing: true
warmup_ratio: 0.1
weight_decay: 0.01
wandb_project:
special_tokens:
torchdistx: x
`;

const mlxLm = `model: "my-model"
train: true
fine_tune_type: dora
optimizer: adamw
optimizer_config:
  adamw: { betas: [0.9, 0.98], eps: 1e-6, weight_decay: 0.05 }
data: "corpus/"
seed: 1
num_layers: 2
batch_size: 4
iters: 1000
val_batches: 25
learning_rate: 1e-5
steps_per_report: 10
steps_per_eval: 200
adapter_path: "adapters"
save_every: 100
max_seq_length: 256
grad_checkpoint: true
mask_prompt: true
lora_parameters: { keys: ["self_attn.q_proj", "self_attn.v_proj"], rank: 8, scale: 20.0, dropout: 0.1 }
lr_schedule: { name: cosine_decay, warmup: 100, warmup_init: 0, arguments: [1e-5, 1000, 1e-7] }
new_thing: 3
`;

test.each([
  ['llama-factory', llamaFactory, {}],
  ['axolotl', axolotl, {}],
  ['mlx-lm', mlxLm, { beside: { layers: 4 } }],
])('%s', async (name, text, how) => {
  const { yaml, unknown } = convertConfig(text, `${name}.yaml`, how);
  await expect(yaml).toMatchFileSnapshot(`golden/converted/${name}.yaml`);
  expect(unknown).toHaveLength(1);
  // No key is lost: each is a field, or named as one that is none.
  expect(yaml).toContain(unknown[0]);
});

const refused = (text: string, from?: string): string => {
  try {
    convertConfig(text, 'theirs.yaml', { from });
  } catch (error) {
    expect(error).toMatchObject({ code: expect.stringMatching(/bad-(config|option)/) });
    return (error as Error).message;
  }
  throw new Error(`was taken: ${text}`);
};

describe('what can not be had is refused, each key with its reason', () => {
  test('of LLaMA-Factory', () => {
    const told = refused(
      'model_name_or_path: m\nstage: ppo\nfinetuning_type: full\nquantization_bit: 3\nval_size: 100\nlearning_rate: fast\n',
    );
    for (const key of ['stage', 'finetuning_type', 'quantization_bit', 'val_size', 'learning_rate'])
      expect(told).toContain(`\n  ${key}: `);
  });

  test('of axolotl: the whole model, warm-ups in steps without their number', () => {
    expect(refused('base_model: m\ndatasets: [{ path: a.jsonl, type: alpaca }]\nmicro_batch_size: 1\n')).toContain(
      'adapter is missing',
    );
    const told = refused('base_model: m\nadapter: lora\ndatasets: [{ path: a }]\nwarmup_steps: 10\n');
    expect(told).toContain('warmup_steps: 10 is a number of steps');
    const { yaml } = convertConfig(
      'base_model: m\nadapter: lora\ndatasets: [{ path: a.jsonl }]\nwarmup_steps: 10\nmax_steps: 40\n',
      'theirs.yaml',
    );
    expect(yaml).toContain('warmup: 0.25');
    expect(yaml).not.toContain('epochs');
  });

  test('of mlx-lm: the last blocks of a model that is not here', () => {
    expect(refused('model: m\ndata: d\niters: 3\nfine_tune_type: lora\n')).toContain(
      'num_layers: 16 means the last 16',
    );
    expect(refused('model: m\niters: 3\nfine_tune_type: full\nnum_layers: -1\n')).toContain('fine_tune_type: "full"');
  });

  test('of nobody, or of who is not known', () => {
    expect(refused('steps: 3\n')).toContain('say --from llama-factory');
    expect(refused('- a\n')).toContain('holds no keys');
    expect(refused('a: [\n')).toContain('is not YAML');
    expect(refused(axolotl, 'unsloth')).toContain('--from is unsloth');
  });
});

describe('the command', () => {
  const folder = mkdtempSync(join(tmpdir(), 'peftjs-convert-'));
  const before = process.cwd();
  beforeAll(() => process.chdir(folder));
  afterAll(() => {
    process.chdir(before);
    rmSync(folder, { recursive: true, force: true });
  });

  test('writes run.yaml with the files of registered datasets, and names what it left out', async () => {
    mkdirSync('data');
    writeFileSync('data/dataset_info.json', JSON.stringify({ dpo_en_demo: { file_name: 'dpo.jsonl' } }));
    writeFileSync('theirs.yaml', llamaFactory);
    const { code, out, err } = await peftjs(['convert', 'config', 'theirs.yaml']);
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/run\.yaml is written, from a configuration of LLaMA-Factory\.[^]*\n {2}max_samples: /);
    expect(out).toContain('Not understood, and left out (1 key): neftune_noise_alpha');
    expect(readFileSync('run.yaml', 'utf8')).toContain('- data/dpo.jsonl');
    expect(await peftjs(['convert', 'config', 'theirs.yaml'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('is there already'),
    });
  });

  test("counts the blocks of a model that is here, for mlx-lm's last ones", async () => {
    writeFileSync('mlx.yaml', mlxLm.replace('"my-model"', JSON.stringify(baseModelDir())));
    const { code, err } = await peftjs(['convert', 'config', 'mlx.yaml', 'mlx-run.yaml', '--json']);
    expect([code, err]).toEqual([0, '']);
    expect(readFileSync('mlx-run.yaml', 'utf8')).toMatch(/layers:\n {4}- 2\n {4}- 3\n/);
  });

  test('takes two paths, or the word config', async () => {
    expect(await peftjs(['convert', 'adapter'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('ADAPTER OUT'),
    });
    expect(await peftjs(['convert', 'config'])).toMatchObject({ code: 2, err: expect.stringContaining('give a file') });
    expect(await peftjs(['convert', 'config', 'none.yaml'])).toMatchObject({ code: 2 });
  });
});
