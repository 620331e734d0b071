import type { Context } from './context.ts';
import { modelFlags, samplingFlags } from './sampling.ts';

/** The call of a command. */
export interface Call {
  /** Arguments that are no flags; of a command that takes the flags of a run, all that are not named here. */
  readonly args: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
  readonly context: Context;
}

/** A command's code, in a file of its own that is loaded when it is called. */
interface CommandModule {
  run(call: Call): Promise<unknown>;
}

/** A line of the list of commands. */
export interface CommandLine {
  readonly name: string;
  readonly args?: string;
  readonly about: string;
  readonly flags?: readonly (readonly [flag: string, about: string])[];
  /** Whether it takes the flags of a run, `--optimizer.rate 1e-4`. */
  readonly free?: boolean;
  readonly examples?: readonly string[];
  load(): Promise<CommandModule>;
}

/** All commands, in the order of the help. */
export const commands: readonly CommandLine[] = [
  {
    name: 'init',
    args: '[file]',
    about: 'asks what you have and want, and writes run.yaml',
    flags: [
      ['--recipe <name>', 'writes one that is ready, with its examples; --list tells which there are'],
      ['--list', 'lists the recipes'],
      ['--data <file>', 'the examples'],
      ['--model <dir>', 'the model'],
      ['--method <name>', 'the method'],
      ['--quantize <format>', 'packs the base'],
      ['--epochs <n>', 'how often each example is seen'],
      ['--yes', 'asks nothing: the defaults for what flags do not say'],
      ['--force', 'writes over a file that is there'],
    ],
    load: () => import('./commands/init.ts'),
  },
  {
    name: 'train',
    about: 'trains by a YAML file, by flags, or both; writes a folder with the adapter',
    flags: [['--dry-run', 'tells of the run (share trained, memory, examples) and ends before its first step']],
    free: true,
    examples: [
      'peftjs train run.yaml',
      'peftjs train --data chat.jsonl',
      'peftjs train --model my-model --data chat.jsonl --method dora --method.rank 8 --optimizer.rate 1e-4 --epochs 2',
    ],
    load: () => import('./commands/train.ts'),
  },
  {
    name: 'resume',
    args: '<dir>',
    about: 'goes on with a run that was stopped',
    load: () => import('./commands/resume.ts'),
  },
  {
    name: 'search',
    about: 'the best of methods, learning rates and ranks, by successive halving; called again it goes on',
    flags: [
      ['--methods <list>', 'names between commas; default lora,dora,ia3'],
      ['--rates <list>', "factors of each method's own learning rate; default 0.3,1,3"],
      ['--ranks <list>', 'of the methods that have one; default 4,16'],
      ['--factor <n>', 'of so many candidates one goes on; default 3'],
      ['--rungs <n>', 'how often they are compared; the last is a whole run; default 3'],
      ['--candidates <n>', 'so many at random; default: all'],
      ['--folder <dir>', 'where trials, figure, best adapter and YAML go; default search'],
    ],
    free: true,
    examples: ['peftjs search run.yaml --methods lora,dora,hra --ranks 4,8,16'],
    load: () => import('./commands/search.ts'),
  },
  {
    name: 'runs',
    args: '[folder]',
    about: 'the runs in a folder, the lowest loss first',
    load: () => import('./commands/runs.ts'),
  },
  {
    name: 'chat',
    args: '[paths...]',
    about: 'a conversation with a run, adapters or a model; of none named, the newest run',
    flags: [['--system <text>', 'how the model is to behave'], ...samplingFlags, ...modelFlags],
    examples: ['peftjs chat', 'peftjs chat runs/2026-11-30T00-10-31 other-adapter --temperature 0.7'],
    load: () => import('./commands/chat.ts'),
  },
  {
    name: 'generate',
    args: '[path]',
    about: 'continues a text, or answers a message',
    flags: [
      ['--prompt <text>', 'a text to continue'],
      ['--message <text>', 'a message to answer, by the chat template'],
      ['--system <text>', 'how the model is to behave'],
      ...samplingFlags,
      ...modelFlags,
    ],
    load: () => import('./commands/generate.ts'),
  },
  {
    name: 'serve',
    args: '[paths...]',
    about: "OpenAI's API over a base and adapters, which requests name as model",
    flags: [
      ['--host <name>', 'where it listens; default 127.0.0.1, and beyond this machine a key is needed'],
      ['--port <n>', 'default 8000'],
      ['--key <text>', 'requests must bring it; default: the variable PEFTJS_KEY'],
      ['--origin <url...>', 'web pages that may ask'],
      ['--context <n>', 'tokens of prompt and answer together; default: up to 2048'],
      ['--rows <n>', 'requests that run together; default 8'],
      ['--queue <n>', 'requests that wait, at most; default 256'],
      ['--max-tokens <n>', 'new tokens where a request says nothing; default 512'],
      ['--load-from <dir>', 'adapters below it may be loaded while it runs'],
      ...modelFlags,
    ],
    examples: ['peftjs serve runs/a runs/b --port 8000'],
    load: () => import('./commands/serve.ts'),
  },
  {
    name: 'evaluate',
    args: '[path]',
    about: 'the loss of examples, with the adapter and without',
    flags: [
      ['--data <file...>', 'the examples'],
      ['--batch-size <n>', 'examples at a time; default 8'],
      ['--context <n>', 'tokens of an example, at most'],
      ...modelFlags,
    ],
    load: () => import('./commands/evaluate.ts'),
  },
  {
    name: 'merge',
    args: '<path> <out>',
    about: 'writes the model with the adapter folded in, in Hugging Face layout',
    flags: [['--dtype <name>', 'f32 (default), f16 or bf16'], ...modelFlags],
    load: () => import('./commands/merge.ts'),
  },
  {
    name: 'export',
    args: '<path> <out>',
    about: 'writes a model for other runtimes',
    flags: [
      ['--to <kind>', 'onnx (a folder), gguf (a file for llama.cpp), gguf-adapter (the LoRA alone)'],
      ['--storage <type>', 'of GGUF: F16 (default), F32, Q8_0, Q4_K_M, …'],
      ['--context <n>', 'of ONNX: the longest text; default: all that the model takes'],
      ...modelFlags,
    ],
    load: () => import('./commands/export.ts'),
  },
  {
    name: 'convert',
    args: '<what...>',
    about:
      'ADAPTER OUT: an adapter anew in safetensors; config FILE [run.yaml]: a YAML of LLaMA-Factory, axolotl or mlx-lm',
    flags: [
      ['--from <trainer>', 'llama-factory, axolotl, mlx-lm; default: by the keys of the file'],
      ['--force', 'writes over a file that is there'],
      ...modelFlags,
    ],
    examples: ['peftjs convert old-adapter new-adapter', 'peftjs convert config axolotl.yaml run.yaml'],
    load: () => import('./commands/convert.ts'),
  },
  {
    name: 'combine',
    args: '<adapters...>',
    about: 'makes one adapter of several over the same base',
    flags: [
      ['--out <dir>', 'where the adapter goes'],
      ['--weights <list>', 'numbers between commas, one for each; default: all alike'],
      [
        '--how <name>',
        'svd (default), cat, linear, ties, dare_ties, magnitude_prune, …; average for methods other than LoRA, mera for bottlenecks',
      ],
      ['--rank <n>', 'rank of the result'],
      ['--density <x>', 'share of values that pruning keeps'],
      ...modelFlags,
    ],
    examples: ['peftjs combine runs/a runs/b --weights 0.7,0.3 --out both'],
    load: () => import('./commands/combine.ts'),
  },
  {
    name: 'methods',
    args: '[name]',
    about: 'the methods that there are, or one with its options and its paper',
    load: () => import('./commands/methods.ts'),
  },
  {
    name: 'inspect',
    args: '<path>',
    about: 'the contents of a model, an adapter, a head, a data file, a checkpoint',
    load: () => import('./commands/inspect.ts'),
  },
  {
    name: 'completion',
    args: '<shell>',
    about: 'a script by which bash, zsh or fish completes commands, flags and names',
    examples: [
      'peftjs completion bash >> ~/.bashrc',
      'peftjs completion zsh > ~/.zfunc/_peftjs',
      'peftjs completion fish > ~/.config/fish/completions/peftjs.fish',
    ],
    load: () => import('./commands/completion.ts'),
  },
  {
    name: 'doctor',
    about: 'devices, versions and memory of this machine, and what is missing',
    load: () => import('./commands/doctor.ts'),
  },
];
