const families = ['lora', 'adapters', 'prompts', 'scaling', 'selective'];

const below = {
  families: ['tensor', 'autograd', 'transformer', 'core'],
  recipes: ['tensor', 'autograd', 'transformer', 'core', ...families],
};

/**
 * Which packages the sources of a package may import. Whatever is not listed is forbidden: families never import each
 * other, `quant` knows no method and no method knows a quantiser. A new package is a new row.
 */
export const mayImport: Readonly<Record<string, readonly string[]>> = {
  tensor: [],
  autograd: ['tensor'],
  onnx: ['tensor'],
  webgpu: ['tensor'],
  io: ['tensor'],
  data: ['tensor', 'io'],
  'base-model': [],
  'base-encoder': [],
  'base-seq2seq': [],
  'base-vit': [],
  transformer: ['tensor', 'autograd', 'io'],
  quant: ['tensor', 'autograd', 'io', 'transformer', 'core'],
  gguf: ['tensor', 'io', 'transformer', 'quant'],
  export: ['tensor', 'onnx', 'io', 'transformer'],
  core: ['tensor', 'autograd', 'transformer', 'io'],
  lora: below.families,
  adapters: [...below.families, 'io'],
  prompts: below.families,
  scaling: below.families,
  selective: below.families,
  vision: [...below.families, 'io'],
  hybrid: below.recipes,
  multitask: below.recipes,
  trainer: ['tensor', 'autograd', 'transformer', 'core', 'io', 'data'],
  mpi: ['tensor', 'trainer'],
  peftjs: [
    'tensor',
    'autograd',
    'onnx',
    'webgpu',
    'io',
    'data',
    'vision',
    'transformer',
    'quant',
    'gguf',
    'export',
    'cli',
    'core',
    ...families,
    'hybrid',
    'multitask',
    'trainer',
  ],
  testkit: ['tensor', 'autograd', 'onnx', 'webgpu', 'io', 'transformer', 'core', 'quant'],
};

/** The package that hands on all others, for people who want one import. */
export const umbrella = 'peftjs';

/**
 * Packages that are for Node: they may import its modules when they are loaded. All others are loaded in browsers too, and ask for one of
 * Node's modules where they use it.
 */
export const forNode: readonly string[] = ['onnx', 'export', 'mpi', 'testkit', 'bench', 'cli'];

/** Packages that may import any other: programs. No other imports them; the umbrella brings the command, and its `bin` alone calls it. */
export const programs: readonly string[] = ['cli', 'bench'];
