import {
  adapterPlus,
  bottleneckAdapter,
  ciat,
  compacter,
  compacterPlusPlus,
  diReft,
  hadamardAdapter,
  houlsby,
  ladderSide,
  llmAdapter,
  loReft,
  madX,
  madXHoulsby,
  meft,
  noReft,
  parallelAdapter,
  pfeiffer,
  residualAdapter,
  resTuning,
  shadow,
  sideTuning,
  sparseAdapter,
  tinyAttention,
} from '@peftjs/adapters';
import { load, type Method, type MethodFormat, type save } from '@peftjs/core';
import { mam, proPetlAdapter, proPetlLora, unipelt } from '@peftjs/hybrid';
import {
  adalora,
  adaMix,
  adamss,
  adapterHubMtlLora,
  afLora,
  alora,
  bdlora,
  bitDelta,
  boft,
  c3a,
  capaboost,
  deft,
  delora,
  deltaLora,
  dora,
  dylora,
  fourierft,
  frod,
  glora,
  gralora,
  hira,
  hiwi,
  hra,
  hydralora,
  kAdaptation,
  kasa,
  krona,
  kronaB,
  lily,
  lLora,
  loha,
  lokr,
  lora,
  loraFa,
  loraPlus,
  loraPro,
  loraPrune,
  loraShear,
  loraSp,
  lorta,
  mica,
  miss,
  moLora,
  monteclora,
  moslora,
  oft,
  olora,
  osf,
  peanut,
  periodicLora,
  pissa,
  psoft,
  pvera,
  qalora,
  randlora,
  reLora,
  riemannianLora,
  road,
  said,
  shira,
  sora,
  superLora,
  supertuning,
  tinylora,
  unilora,
  vblora,
  velora,
  vera,
  waveft,
} from '@peftjs/lora';
import {
  adapterFusion,
  attemptFor,
  hyperformerFor,
  hyperformerPlusPlusFor,
  iptSpaceFor,
  moeLora,
  mtLora,
  mtlLora,
  multitaskPromptTuningFor,
  phaFor,
  poly,
  polyFor,
  tptFor,
} from '@peftjs/multitask';
import {
  adaptionPrompt,
  aPrompt,
  apt,
  cartridge,
  cpt,
  dePt,
  idpg,
  infoPrompt,
  ipt,
  llamaAdapter,
  lpt,
  prefixTuning,
  promptTuning,
  pTuning,
  selectivePromptTuning,
  smop,
  xPrompt,
} from '@peftjs/prompts';
import { diffFit, ia3, llamaAdapterV2, mov, pasta, peqa } from '@peftjs/scaling';
import { beft, bitfit, diffPruning, layerNormTuning, tokenTuning } from '@peftjs/selective';
import type { CausalLM } from '@peftjs/transformer';

/** What is not as usual with a golden. */
export interface Exceptions {
  /** The method as it is trained, where the file holds only what that computes, or where there is no file. */
  readonly trained?: Method;
  /** What reads the adapter's folder, where it is not of PEFT's layout. Default: core's `load`. */
  readonly load?: typeof load;
  /** What writes it there. Default: core's `save`. */
  readonly save?: typeof save;
  /** The name that Python knows one of our parameters by. Default: its key in the file, or the same name. */
  readonly nameThere?: (name: string) => string;
  /** Weights that Python holds as [in, out]. */
  readonly transposed?: RegExp;
  /** Parameters whose gradient is rounding alone: it has an absolute limit. */
  readonly noGradient?: RegExp;
  /** Of gradients, relative to the largest of a parameter. Default 1e-4. */
  readonly gradientLimit?: number;
  /** Of AdamW, on all that is trained. */
  readonly weightDecay?: number;
  /** Whether the library reads what we write. Default: true. */
  readonly readsOurs?: boolean;
}

/** One folder of `data/python`. */
export interface Golden extends Exceptions {
  readonly name: string;
  readonly model: string;
  /** What `load` is given. */
  readonly formats: readonly MethodFormat[];
}

const golden = (
  models: string,
  method: string,
  formats: MethodFormat | readonly MethodFormat[],
  exceptions: Exceptions = {},
): Golden[] =>
  models.split(' ').map((model) => ({ name: `${model}-${method}`, model, formats: [formats].flat(), ...exceptions }));

/** PEFT's name for rows that no encoder computes while they are trained. */
const rowsThere = {
  nameThere: (name: string): string => (name === 'prompt_embeddings' ? 'prompt_encoder.embedding.weight' : name),
};

/** Methods of `own_methods.py`, which no library has. */
const ours: Exceptions = { readsOurs: false };

/** MiSS's matrix in files of Bone. */
const bone: Exceptions = {
  ...ours,
  nameThere: (name) => `base_model.model.${name.replace(/miss_block$/, 'bone_block')}`,
};

/** The losses of AdapterFusion were taken without the penalty on its values. */
const withoutPenalty: typeof load = async (...args) => {
  const adapted = await load(...args);
  return { ...adapted, loss: (inputs, seed) => (adapted.training(seed) as unknown as CausalLM).loss(inputs) };
};

/** PVeRA, Poly and ReFT were trained without chance. */
const withoutChance: Exceptions = {
  load: async (...args) => {
    const adapted = await load(...args);
    return {
      ...adapted,
      training: () => adapted.model,
      loss: (inputs) => (adapted.model as unknown as CausalLM).loss(inputs),
    };
  },
};

/** Parts of blocks, whose tensors begin with their names here. */
const blocks: Exceptions = {
  nameThere: (name) => {
    const [, part, rest] = /^(?:[^.]+\.)*?([^.]+)\.(model\..*)$/.exec(name)!;
    return rest!.replace(/\.default\./, `.${part}.`);
  },
};

/** All adapters that a library made, one line a method. */
export const goldens: readonly Golden[] = [
  ...golden('plain', 'default', lora, { weightDecay: 0.1 }),
  ...golden('plain', 'patterns', lora, { weightDecay: 0.1, gradientLimit: 3e-4 }), // f32 on the cpu: 1.3e-4; the definition is below 1e-4
  ...golden('llama3-tied', 'regex', lora, { weightDecay: 0.1 }),
  ...golden('gpt2', 'lora', lora),
  ...golden('gpt2', 'lora-bias-all', lora),
  ...golden('plain', 'lora-modules-to-save', lora),
  ...golden('gpt2', 'lora-modules-to-save', lora, { transposed: /c_fc\.weight$/ }),
  ...golden('plain gpt2', 'lora-layers', lora),
  ...golden('plain gpt2', 'lora-embedding', lora),
  ...golden('plain gpt2', 'lora-head', lora),
  ...golden('plain gpt2', 'lora-tokens', lora),
  ...golden('plain gpt2', 'lora-plus', loraPlus),
  ...golden('plain gpt2', 'lora-fa', loraFa),
  ...golden('plain gpt2', 'l-lora', lLora, ours),
  ...golden('plain gpt2', 'lora-pro', loraPro),
  ...golden('plain gpt2', 'riemannian-lora', riemannianLora),
  ...golden('plain gpt2', 'lora-bias-out', lora),
  ...golden('plain gpt2', 'alora', alora),
  ...golden('plain', 'bdlora', bdlora),
  ...golden('plain', 'kasa', kasa),
  ...golden('plain gpt2', 'mica', mica),
  ...golden('plain gpt2', 'pissa', [pissa, lora]),
  ...golden('plain', 'olora', [olora, lora]),
  ...golden('plain', 'monteclora', monteclora, { ...withoutChance, noGradient: /sampler/ }),
  ...golden('plain', 'qalora', qalora),
  ...golden('plain gpt2', 'velora', velora),
  ...golden('plain', 'velora-random', velora),
  ...golden('plain gpt2', 'dora', dora),
  ...golden('plain gpt2', 'vera', vera),
  ...golden('plain gpt2', 'vera-drawn', vera),
  ...golden('plain gpt2', 'loha', loha),
  ...golden('plain gpt2', 'lokr', lokr),
  ...golden('plain gpt2', 'lokr-both', lokr),
  ...golden('plain gpt2', 'lokr-factor', lokr),
  ...golden('plain gpt2', 'hira', hira),
  ...golden('plain gpt2', 'hra', hra),
  ...golden('plain gpt2', 'hra-orthogonal', hra),
  ...golden('plain gpt2', 'delora', delora),
  ...golden('plain gpt2', 'miss', miss),
  ...golden('plain gpt2', 'miss-mini', miss),
  ...golden('plain gpt2', 'miss-bat', miss),
  ...golden('plain gpt2', 'bone', miss, bone), // later versions of PEFT don't read them
  ...golden('plain', 'bone-bat', miss, bone),
  ...golden('plain gpt2', 'psoft', psoft, ours),
  ...golden('plain', 'psoft-series', psoft, ours),
  ...golden('plain', 'psoft-free', psoft, ours),
  ...golden('plain gpt2', 'adamss', adamss, ours),
  ...golden('plain gpt2', 'frod', frod),
  ...golden('plain gpt2', 'lily', lily),
  ...golden('plain gpt2', 'gralora', gralora),
  ...golden('plain gpt2', 'gralora-hybrid', gralora),
  ...golden('plain gpt2', 'oft', oft),
  ...golden('plain gpt2', 'oft-shared', oft),
  ...golden('plain gpt2', 'road', road),
  ...golden('plain gpt2', 'road-2', road),
  ...golden('plain gpt2', 'road-4', road),
  ...golden('plain gpt2', 'c3a', c3a),
  ...golden('plain gpt2', 'shira', shira),
  ...golden('plain gpt2', 'deft', deft),
  ...golden('plain gpt2', 'deft-qr', deft),
  ...golden('plain gpt2', 'deft-para', deft),
  ...golden('plain gpt2', 'peanut', peanut),
  ...golden('plain gpt2', 'peanut-deep', peanut),
  // A norm takes out what one value adds to all outputs.
  ...golden('plain gpt2', 'glora', glora, { noGradient: /c_proj\.glora_E\.X$/ }),
  ...golden('plain gpt2', 'glora-vectors', glora),
  ...golden('gpt2', 'glora-none', glora),
  ...golden('plain gpt2', 'moslora', moslora, ours),
  ...golden('plain gpt2', 'dylora', dylora, ours),
  ...golden('plain gpt2', 'sora', sora, ours),
  ...golden('plain gpt2', 'capaboost', capaboost, ours),
  ...golden('plain gpt2', 'lora-sp', loraSp, ours),
  ...golden('plain gpt2', 'lora-prune', loraPrune, ours),
  ...golden('plain gpt2', 'lora-shear', loraShear, ours),
  ...golden('plain gpt2', 'aflora', afLora, ours),
  ...golden('plain gpt2', 'delta-lora', deltaLora, ours),
  ...golden('plain gpt2', 'bit-delta', bitDelta, ours),
  ...golden('plain gpt2', 'adamix', adaMix, { ...withoutChance, ...ours }),
  ...golden('plain', 'adamix-shared', adaMix, { ...withoutChance, ...ours }),
  ...golden('plain gpt2', 'relora', reLora, ours),
  ...golden('plain gpt2', 'periodic-lora', periodicLora, ours),
  ...golden('plain gpt2', 'llm-adapter', llmAdapter, ours),
  ...golden('plain gpt2', 'llm-adapter-parallel', llmAdapter, ours),
  ...golden('plain gpt2', 'propetl-lora', proPetlLora, ours),
  ...golden('plain gpt2', 'propetl-adapter', proPetlAdapter, ours),
  ...golden('plain gpt2', 'ciat', ciat, ours),
  ...golden('plain gpt2', 'residual-adapter', residualAdapter, ours),
  ...golden('plain gpt2', 'tiny-attention', tinyAttention, ours),
  ...golden('plain gpt2', 'llama-adapter-v2', llamaAdapterV2, ours),
  ...golden('plain gpt2', 'sparse-adapter', sparseAdapter, ours),
  ...golden('plain', 'ladder-side', ladderSide, ours),
  ...golden('plain gpt2', 'meft1', meft, ours),
  ...golden('plain gpt2', 'meft2', meft, ours),
  ...golden('plain gpt2', 'meft3', meft, ours),
  ...golden('plain gpt2', 'res-tuning', resTuning, ours),
  ...golden('plain', 'side-tuning', sideTuning, ours),
  ...golden('plain', 'shadow', shadow),
  ...golden('plain', 'shadow-part', shadow),
  ...golden('plain gpt2', 'hadamard-adapter', hadamardAdapter, ours),
  ...golden('plain gpt2', 'said', said, ours),
  ...golden('plain gpt2', 'superlora', superLora, ours),
  ...golden('plain gpt2', 'superlora-folded', superLora, ours),
  ...golden('plain gpt2', 'superlora-projected', superLora, ours),
  ...golden('plain gpt2', 'lorta', lorta, ours),
  ...golden('plain gpt2', 'krona', krona, ours),
  ...golden('plain gpt2', 'krona-b', kronaB, ours),
  ...golden('plain gpt2', 'kadaptation', kAdaptation, ours),
  ...golden('plain gpt2', 'hiwi', hiwi, ours),
  ...golden('plain gpt2', 'fourierft', fourierft),
  ...golden('plain gpt2', 'vblora', vblora),
  ...golden('plain gpt2', 'randlora', randlora),
  ...golden('plain gpt2', 'randlora-sparse', randlora),
  ...golden('plain gpt2', 'hydralora', hydralora, ours),
  ...golden('plain gpt2', 'molora', moLora, ours),
  ...golden('plain gpt2', 'mov', mov, ours),
  ...golden('plain gpt2', 'moelora', moeLora, ours),
  ...golden('plain gpt2', 'mtlora', mtLora, ours),
  ...golden('plain gpt2', 'mtl-lora', mtlLora, ours),
  ...golden('plain gpt2', 'oft-exact', oft),
  ...golden('plain gpt2', 'oft-constrained', oft),
  ...golden('plain gpt2', 'pvera', pvera, withoutChance),
  ...golden('plain gpt2', 'pvera-drawn', pvera, withoutChance),
  ...golden('plain gpt2', 'unilora', unilora),
  ...golden('plain gpt2', 'tinylora', tinylora),
  ...golden('plain gpt2', 'tinylora-drawn', tinylora),
  ...golden('plain gpt2', 'supertuning', supertuning),
  ...golden('plain gpt2', 'supertuning-supra', supertuning),
  ...golden('plain gpt2', 'waveft', waveft),
  ...golden('plain gpt2', 'waveft-long', waveft),
  ...golden('plain gpt2', 'waveft-plain', waveft),
  ...golden('plain gpt2', 'osf', osf),
  ...golden('plain gpt2', 'poly', poly, withoutChance),
  ...golden('plain gpt2', 'poly-parts', polyFor(2), withoutChance),
  ...golden('plain gpt2', 'token-tuning', tokenTuning),
  ...golden('plain gpt2', 'boft', boft),
  ...golden('plain gpt2', 'boft-factors', boft),
  ...golden('plain gpt2', 'adalora', adalora),
  ...golden('square gpt2', 'lora-adapters', lora),
  ...golden('square', 'dora-adapters', lora),
  ...golden('square gpt2', 'lora-adapters-wide', lora),
  ...golden('square', 'mtl-lora-adapters', adapterHubMtlLora),
  ...golden('plain gpt2', 'prompt-tuning', promptTuning, rowsThere),
  ...golden('plain gpt2', 'multitask-prompt-tuning', multitaskPromptTuningFor(2), {
    nameThere: (name) => `prompt_encoder.${name === 'prompt_embeddings' ? 'embedding.weight' : name}`,
  }),
  ...golden('plain gpt2', 'prefix-tuning', prefixTuning, rowsThere),
  ...golden('plain gpt2', 'prefix-tuning-projection', prefixTuning, {
    trained: prefixTuning({ length: 5, bottleneck: 7 }),
  }),
  ...golden('square gpt2', 'prefix-tuning-adapters', prefixTuning),
  ...golden('square gpt2', 'prefix-tuning-adapters-flat', prefixTuning),
  ...golden('square gpt2', 'prefix-tuning-adapters-gates', prefixTuning),
  ...golden('square gpt2', 'mam', mam),
  ...golden('square gpt2', 'unipelt', unipelt),
  ...golden('plain gpt2', 'p-tuning', pTuning, { trained: pTuning({ length: 5, hidden: 7 }) }),
  ...golden('plain gpt2', 'cpt', cpt, { nameThere: () => 'prompt_encoder.delta_embedding.weight' }),
  ...golden('plain gpt2', 'cartridge', cartridge, { nameThere: () => 'prompt_encoder.trainable_embedding' }),
  ...golden('plain gpt2', 'p-tuning-lstm', pTuning, { trained: pTuning({ length: 5, hidden: 4, encoder: 'lstm' }) }),
  ...golden('square gpt2', 'adaption-prompt', adaptionPrompt),
  ...golden('plain gpt2', 'llama-adapter', llamaAdapter, ours),
  ...golden('plain gpt2', 'aprompt', aPrompt, ours),
  ...golden('plain gpt2', 'spt', selectivePromptTuning, ours),
  ...golden('plain gpt2', 'spt-chosen', selectivePromptTuning, ours),
  ...golden('plain', 'spt-generated', selectivePromptTuning, ours),
  ...golden('plain gpt2', 'dept', dePt, ours),
  ...golden('plain gpt2', 'apt', apt, ours),
  ...golden('plain', 'idpg', idpg, ours),
  ...golden('plain gpt2', 'idpg-phm', idpg, ours),
  ...golden('plain gpt2', 'info-prompt', infoPrompt, ours),
  ...golden('plain gpt2', 'smop', smop, ours),
  ...golden('plain gpt2', 'lpt', lpt, ours),
  ...golden('plain', 'lpt-average', lpt, ours),
  ...golden('plain', 'lpt-max', lpt, ours),
  ...golden('gpt2', 'lpt-none', lpt, ours),
  ...golden('plain gpt2', 'hyperformer', hyperformerFor(1), ours),
  ...golden('plain gpt2', 'hyperformer-plus-plus', hyperformerPlusPlusFor(1), ours),
  ...golden('plain gpt2', 'pha', phaFor(1), ours),
  ...golden('plain gpt2', 'ipt-space', iptSpaceFor(1), ours),
  ...golden('plain gpt2', 'ipt', ipt, ours),
  ...golden('plain gpt2', 'tpt', tptFor(1), ours),
  ...golden('plain gpt2', 'xprompt', xPrompt, ours),
  ...golden('plain gpt2', 'attempt', attemptFor(1), ours),
  ...golden('plain gpt2', 'ia3', ia3),
  ...golden('square gpt2', 'ia3-adapters', ia3),
  ...golden('square gpt2', 'ia3-adapters-wide', ia3),
  ...golden('plain gpt2', 'peqa', peqa, ours),
  ...golden('plain gpt2', 'peqa-groups', peqa, ours),
  ...golden('plain gpt2', 'diff-fit', diffFit, ours),
  ...golden('plain gpt2', 'pasta', pasta, ours),
  ...golden('plain gpt2', 'diff-pruning', diffPruning, { ...withoutChance, ...ours }),
  ...golden('plain', 'beft', beft),
  ...golden('gpt2', 'beft', beft, { readsOurs: false }), // PEFT has it for Linear alone, not for Conv1D
  ...golden('gpt2', 'bitfit', bitfit, { trained: bitfit(), readsOurs: false }), // PEFT has no such method
  ...golden('plain gpt2', 'layer-norm-tuning', layerNormTuning),
  ...golden('square gpt2', 'houlsby', houlsby),
  ...golden('square gpt2', 'pfeiffer', pfeiffer),
  ...golden('square gpt2', 'parallel-adapter', parallelAdapter),
  ...golden('square gpt2', 'parallel-adapter-learned', parallelAdapter),
  ...golden('square gpt2', 'adapter-plus', adapterPlus),
  ...golden('square gpt2', 'bottleneck-adapter', bottleneckAdapter),
  ...golden('square gpt2', 'bottleneck-adapter-beside', bottleneckAdapter),
  ...golden('square gpt2', 'compacter', compacter),
  ...golden('square gpt2', 'compacter-plus-plus', compacterPlusPlus),
  ...golden('square gpt2', 'compacter-own-rules', compacterPlusPlus),
  ...golden('square gpt2', 'loreft', loReft, withoutChance),
  ...golden('square gpt2', 'noreft', noReft, withoutChance),
  ...golden('square gpt2', 'direft', diReft, { ...withoutChance, readsOurs: false }), // the library reads each as NoReFT
  ...golden('square gpt2', 'mad-x', madX),
  ...golden('square gpt2', 'mad-x-houlsby', madXHoulsby),
  ...golden('square gpt2', 'adapter-fusion', adapterFusion, {
    load: withoutPenalty,
    noGradient: /\.key\.bias$/,
  }),
  ...golden('square', 'blocks-average', pfeiffer, blocks),
  ...golden('square', 'blocks-average-lora', lora, blocks),
  ...golden('square', 'blocks-batch-split', houlsby, blocks),
  ...golden('square', 'blocks-fuse', [pfeiffer, adapterFusion], { ...blocks, noGradient: /\.key\.bias$/ }),
  // There it repeats what it is given itself.
  ...golden('square', 'blocks-parallel', houlsby, { ...blocks, readsOurs: false }),
  ...golden('square', 'blocks-split', pfeiffer, blocks),
];

/** Those that we write for the library to read, as `data/peftjs/<name>/adapter`. */
export const written: readonly Golden[] = goldens.filter(({ readsOurs = true }) => readsOurs);
