import { isObject } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { combine } from './combine.ts';
import type { AdapterConfig, Method, MethodFormat } from './method.ts';

/** Methods to choose from: a list, or all that a package exports: `import * as lora from '@peftjs/lora'`. */
export type Methods = Iterable<MethodFormat> | Readonly<Record<string, unknown>>;

const isFormat = (value: unknown): value is MethodFormat =>
  typeof value === 'function' && 'reads' in value && 'fromConfig' in value && 'peftType' in value;

/** The methods among exports. */
export const formatsIn = (methods: Methods): readonly MethodFormat[] => {
  const given: Methods = methods ?? [undefined];
  const all =
    Symbol.iterator in Object(given) ? [...(given as Iterable<MethodFormat>)] : Object.values(given).filter(isFormat);
  const isOne = (method: Partial<MethodFormat> | null | undefined): boolean => typeof method?.fromConfig === 'function';
  const odd = all.filter((method) => !isOne(method)) as readonly unknown[];
  if (odd.length === 0) return all;
  const { name, attach } = (odd[0] ?? {}) as Partial<Method>;
  const hint = typeof attach === 'function' ? `${name} itself, not what it makes` : 'a list, or what a package exports';
  throw new PeftError(
    'bad-option',
    `load: the methods that may be built are missing; give ${hint}: load(model, dir, [lora])`,
  );
};

/** A method of these packages by its file: its name for people, that of the export, the package, the test of its configuration. */
type Known = readonly [kind: string, name: string, from: string, reads: (config: AdapterConfig) => boolean];

const byType =
  (type: string): Known[3] =>
  (config) =>
    config.peft_type === type;

const byField =
  (field: string): Known[3] =>
  (config) =>
    config.peft_type === 'LORA' && config[field] != null && config[field] !== false;

const byStart =
  (start: string): Known[3] =>
  (config) =>
    config.peft_type === 'LORA' && config['init_lora_weights'] === start;

const byArchitecture =
  (architecture: string | undefined): Known[3] =>
  (config) =>
    config.peft_type === undefined && config['architecture'] === architecture;

/** The first that fits counts. Only for messages. */
const known: readonly Known[] = [
  ['DoRA (LORA with use_dora)', 'dora', 'lora', byField('use_dora')],
  ['aLoRA (LORA with alora_invocation_tokens)', 'alora', 'lora', byField('alora_invocation_tokens')],
  ['QA-LoRA (LORA with use_qalora)', 'qalora', 'lora', byField('use_qalora')],
  ['BD-LoRA (LORA with use_bdlora)', 'bdlora', 'lora', byField('use_bdlora')],
  ['KaSA (LORA with kasa_config)', 'kasa', 'lora', byField('kasa_config')],
  ['MonteCLoRA (LORA with monteclora_config)', 'monteclora', 'lora', byField('monteclora_config')],
  ['VeLoRA (LORA with velora_config)', 'velora', 'lora', byField('velora_config')],
  ['LoRA+ (LORA with loraplus_lr_ratio)', 'loraPlus', 'lora', byField('loraplus_lr_ratio')],
  ['LoRA-FA (LORA with lora_fa)', 'loraFa', 'lora', byField('lora_fa')],
  ['L-LoRA (LORA with l_lora)', 'lLora', 'lora', byField('l_lora')],
  ['LoRA-Pro (LORA with lora_pro)', 'loraPro', 'lora', byField('lora_pro')],
  ['Riemannian LoRA (LORA with riemannian_reg)', 'riemannianLora', 'lora', byField('riemannian_reg')],
  ['PiSSA (LORA)', 'pissa', 'lora', byStart('pissa')],
  ['OLoRA (LORA)', 'olora', 'lora', byStart('olora')],
  ['MiCA (LORA)', 'mica', 'lora', byStart('mica')],
  ['LoRA (LORA)', 'lora', 'lora', byType('LORA')],
  ['AdaLoRA (ADALORA)', 'adalora', 'lora', byType('ADALORA')],
  ['VeRA (VERA)', 'vera', 'lora', byType('VERA')],
  ['LoHa (LOHA)', 'loha', 'lora', byType('LOHA')],
  ['LoKr (LOKR)', 'lokr', 'lora', byType('LOKR')],
  ['HiRA (HIRA)', 'hira', 'lora', byType('HIRA')],
  ['HRA (HRA)', 'hra', 'lora', byType('HRA')],
  ['DeLoRA (DELORA)', 'delora', 'lora', byType('DELORA')],
  ['MiSS (MISS)', 'miss', 'lora', byType('MISS')],
  ['Bone, which became MiSS (BONE)', 'miss', 'lora', byType('BONE')],
  ['RoAd (ROAD)', 'road', 'lora', byType('ROAD')],
  ['OFT (OFT)', 'oft', 'lora', byType('OFT')],
  ['GraLoRA (GRALORA)', 'gralora', 'lora', byType('GRALORA')],
  ['C3A (C3A)', 'c3a', 'lora', byType('C3A')],
  ['SHiRA (SHIRA)', 'shira', 'lora', byType('SHIRA')],
  ['DEFT (DEFT)', 'deft', 'lora', byType('DEFT')],
  ['PEANuT (PEANUT)', 'peanut', 'lora', byType('PEANUT')],
  ['GLoRA (GLORA)', 'glora', 'lora', byType('GLORA')],
  ['FourierFT (FOURIERFT)', 'fourierft', 'lora', byType('FOURIERFT')],
  ['VB-LoRA (VBLORA)', 'vblora', 'lora', byType('VBLORA')],
  ['RandLoRA (RANDLORA)', 'randlora', 'lora', byType('RANDLORA')],
  ['PVeRA (PVERA)', 'pvera', 'lora', byType('PVERA')],
  ['Uni-LoRA (UNILORA)', 'unilora', 'lora', byType('UNILORA')],
  ['TinyLoRA (TINYLORA)', 'tinylora', 'lora', byType('TINYLORA')],
  ['Super-Tuning (SUPERTUNING)', 'supertuning', 'lora', byType('SUPERTUNING')],
  ['WaveFT (WAVEFT)', 'waveft', 'lora', byType('WAVEFT')],
  ['PSOFT', 'psoft', 'lora', (c) => c.peft_type === 'PSOFT' || c.peft_type === 'PEFTJS_PSOFT'],
  ['AdaMSS', 'adamss', 'lora', (c) => c.peft_type === 'ADAMSS' || c.peft_type === 'PEFTJS_ADAMSS'],
  ['Lily (LILY)', 'lily', 'lora', byType('LILY')],
  ['FRoD (FROD)', 'frod', 'lora', byType('FROD')],
  ['OSF (OSF)', 'osf', 'lora', byType('OSF')],
  ['BOFT (BOFT)', 'boft', 'lora', byType('BOFT')],
  ['MPT (MULTITASK_PROMPT_TUNING)', 'multitaskPromptTuning', 'multitask', byType('MULTITASK_PROMPT_TUNING')],
  ['Poly (POLY)', 'poly', 'multitask', byType('POLY')],
  ['(IA)³ (IA3)', 'ia3', 'scaling', byType('IA3')],
  ['prompt tuning (PROMPT_TUNING)', 'promptTuning', 'prompts', byType('PROMPT_TUNING')],
  ['prefix tuning (PREFIX_TUNING)', 'prefixTuning', 'prompts', byType('PREFIX_TUNING')],
  ['P-tuning (P_TUNING)', 'pTuning', 'prompts', byType('P_TUNING')],
  ['CPT (CPT)', 'cpt', 'prompts', byType('CPT')],
  ['Cartridge (CARTRIDGE)', 'cartridge', 'prompts', byType('CARTRIDGE')],
  ['adaption prompt (ADAPTION_PROMPT)', 'adaptionPrompt', 'prompts', byType('ADAPTION_PROMPT')],
  ['DePT (PROMPT_TUNING_LORA)', 'dePt', 'prompts', byType('PROMPT_TUNING_LORA')],
  ['APT', 'apt', 'prompts', byType('PEFTJS_APT')],
  ['IDPG', 'idpg', 'prompts', byType('PEFTJS_IDPG')],
  ['InfoPrompt', 'infoPrompt', 'prompts', byType('PEFTJS_INFO_PROMPT')],
  ['IPT', 'ipt', 'prompts', byType('PEFTJS_IPT')],
  ['the space of IPT', 'iptSpace', 'multitask', byType('PEFTJS_IPT_SPACE')],
  ['HyperFormer', 'hyperformer', 'multitask', byType('PEFTJS_HYPERFORMER')],
  ['HyperFormer++', 'hyperformerPlusPlus', 'multitask', byType('PEFTJS_HYPERFORMER_PLUS_PLUS')],
  ['PHA', 'pha', 'multitask', byType('PEFTJS_PHA')],
  ['TPT', 'tpt', 'multitask', byType('PEFTJS_TPT')],
  ['LPT', 'lpt', 'prompts', byType('PEFTJS_LPT')],
  ['SPT of prompts', 'selectivePromptTuning', 'prompts', byType('PEFTJS_SPT')],
  ['XPrompt', 'xPrompt', 'prompts', byType('PEFTJS_XPROMPT')],
  ['SMoP', 'smop', 'prompts', byType('PEFTJS_SMOP')],
  ['ATTEMPT', 'attempt', 'multitask', byType('PEFTJS_ATTEMPT')],
  ['APrompt', 'aPrompt', 'prompts', byType('PEFTJS_APROMPT')],
  ['LLaMA-Adapter', 'llamaAdapter', 'prompts', byType('PEFTJS_LLAMA_ADAPTER')],
  ['ShadowPEFT (SHADOW)', 'shadow', 'adapters', byType('SHADOW')],
  ['norm tuning (LN_TUNING)', 'layerNormTuning', 'selective', byType('LN_TUNING')],
  ['token tuning (TRAINABLE_TOKENS)', 'tokenTuning', 'selective', byType('TRAINABLE_TOKENS')],
  ['BEFT (BEFT)', 'beft', 'selective', byType('BEFT')],
  ['LLM-Adapters (BOTTLENECK)', 'llmAdapter', 'adapters', byType('BOTTLENECK')],
  ['ProPETL of LoRA', 'proPetlLora', 'hybrid', byType('PEFTJS_PROPETL_LORA')],
  ['ProPETL of adapters', 'proPetlAdapter', 'hybrid', byType('PEFTJS_PROPETL_ADAPTER')],
  ['NOAH', 'noah', 'hybrid', byType('PEFTJS_NOAH')],
  ['the supernet of NOAH', 'noahSupernet', 'hybrid', byType('PEFTJS_NOAH_SUPERNET')],
  ['Intrinsic SAID', 'said', 'lora', byType('PEFTJS_SAID')],
  ['HydraLoRA', 'hydralora', 'lora', byType('PEFTJS_HYDRALORA')],
  ['DyLoRA', 'dylora', 'lora', byType('PEFTJS_DYLORA')],
  ['SoRA', 'sora', 'lora', byType('PEFTJS_SORA')],
  ['CapaBoost', 'capaboost', 'lora', byType('PEFTJS_CAPABOOST')],
  ['LoRAShear', 'loraShear', 'lora', byType('PEFTJS_LORA_SHEAR')],
  ['LoRAPrune', 'loraPrune', 'lora', byType('PEFTJS_LORA_PRUNE')],
  ['LoRA-SP', 'loraSp', 'lora', byType('PEFTJS_LORA_SP')],
  ['AFLoRA', 'afLora', 'lora', byType('PEFTJS_AFLORA')],
  ['BitDelta', 'bitDelta', 'lora', byType('PEFTJS_BIT_DELTA')],
  ['Delta-LoRA', 'deltaLora', 'lora', byType('PEFTJS_DELTA_LORA')],
  ['ReLoRA', 'reLora', 'lora', byType('PEFTJS_RELORA')],
  ['PeriodicLoRA', 'periodicLora', 'lora', byType('PEFTJS_PERIODIC_LORA')],
  ['KronA', 'krona', 'lora', byType('PEFTJS_KRONA')],
  ['KAdaptation', 'kAdaptation', 'lora', byType('PEFTJS_KADAPTATION')],
  ['HiWi', 'hiwi', 'lora', byType('PEFTJS_HIWI')],
  ['KronA_B', 'kronaB', 'lora', byType('PEFTJS_KRONA_B')],
  ['SuperLoRA', 'superLora', 'lora', byType('PEFTJS_SUPERLORA')],
  ['LoRTA', 'lorta', 'lora', byType('PEFTJS_LORTA')],
  ['MoSLoRA', 'moslora', 'lora', byType('PEFTJS_MOSLORA')],
  ['PEQA', 'peqa', 'scaling', byType('PEFTJS_PEQA')],
  ['MTLoRA', 'mtLora', 'multitask', byType('PEFTJS_MTLORA')],
  ['MTL-LoRA', 'mtlLora', 'multitask', byType('PEFTJS_MTL_LORA')],
  ['DiffFit', 'diffFit', 'scaling', byType('PEFTJS_DIFFFIT')],
  ['PASTA', 'pasta', 'scaling', byType('PEFTJS_PASTA')],
  ['MoV', 'mov', 'scaling', byType('PEFTJS_MOV')],
  ['MoLoRA', 'moLora', 'lora', byType('PEFTJS_MOLORA')],
  ['MOELoRA', 'moeLora', 'multitask', byType('PEFTJS_MOELORA')],
  ['CIAT', 'ciat', 'adapters', byType('PEFTJS_CIAT')],
  ['CoDA', 'coda', 'adapters', byType('PEFTJS_CODA')],
  ['MEFT', 'meft', 'adapters', byType('PEFTJS_MEFT')],
  ['Res-Tuning', 'resTuning', 'adapters', byType('PEFTJS_RES_TUNING')],
  ['side-tuning', 'sideTuning', 'adapters', byType('PEFTJS_SIDE_TUNING')],
  ['Residual adapter', 'residualAdapter', 'adapters', byType('PEFTJS_RESIDUAL_ADAPTER')],
  ['tiny attention', 'tinyAttention', 'adapters', byType('PEFTJS_TINY_ATTENTION')],
  ['LLaMA-Adapter V2', 'llamaAdapterV2', 'scaling', byType('PEFTJS_LLAMA_ADAPTER_V2')],
  ['SparseAdapter', 'sparseAdapter', 'adapters', byType('PEFTJS_SPARSE_ADAPTER')],
  ['Hadamard adapter', 'hadamardAdapter', 'adapters', byType('PEFTJS_HADAMARD_ADAPTER')],
  ['SSF', 'ssf', 'scaling', byType('PEFTJS_SSF')],
  ['VPT', 'vpt', 'vision', byType('PEFTJS_VPT')],
  ['AdaptFormer', 'adaptFormer', 'vision', byType('PEFTJS_ADAPTFORMER')],
  ['Convpass', 'convpass', 'vision', byType('PEFTJS_CONVPASS')],
  ['VQT', 'vqt', 'vision', byType('PEFTJS_VQT')],
  ['BI-Adapter', 'binaryAdapter', 'vision', byType('PEFTJS_BINARY_ADAPTER')],
  ['CLIP-Adapter', 'clipAdapter', 'vision', byType('PEFTJS_CLIP_ADAPTER')],
  ['CoCoOp', 'coCoOp', 'vision', byType('PEFTJS_COCOOP')],
  ['CoOp', 'coOp', 'vision', byType('PEFTJS_COOP')],
  ['MaPLe', 'maple', 'vision', byType('PEFTJS_MAPLE')],
  ['Tip-Adapter', 'tipAdapter', 'vision', byType('PEFTJS_TIP_ADAPTER')],
  ['FacT (tensor train)', 'factTt', 'vision', byType('PEFTJS_FACT_TT')],
  ['FacT (Tucker)', 'factTk', 'vision', byType('PEFTJS_FACT_TK')],
  ['BitFit', 'bitfit', 'selective', byType('PEFTJS_BITFIT')],
  ['FISH mask', 'fishMask', 'selective', byType('PEFTJS_FISH_MASK')],
  ['LT-SFT', 'ltSft', 'selective', byType('PEFTJS_LT_SFT')],
  ['Child-tuning-D', 'childTuningD', 'selective', byType('PEFTJS_CHILD_TUNING_D')],
  ['Child-tuning-F', 'childTuningF', 'selective', byType('PEFTJS_CHILD_TUNING_F')],
  ['GPS', 'gps', 'selective', byType('PEFTJS_GPS')],
  ['cross-attention tuning', 'xattn', 'selective', byType('PEFTJS_XATTN')],
  ['diff pruning', 'diffPruning', 'selective', byType('PEFTJS_DIFF_PRUNING')],
  ['SPT', 'sensitivitySpt', 'selective', byType('PEFTJS_SENSITIVITY_SPT')],
  ['Fish-DIP', 'fishDip', 'selective', byType('PEFTJS_FISH_DIP')],
  ['SAM', 'sam', 'selective', byType('PEFTJS_SAM')],
  ['S-BitFit', 'sBitfit', 'selective', byType('PEFTJS_S_BITFIT')],
  ['FAR', 'far', 'selective', byType('PEFTJS_FAR')],
  ['PaFi', 'paFi', 'selective', byType('PEFTJS_PAFI')],
  ['LoRA of the adapters library', 'lora', 'lora', byArchitecture('lora')],
  ['MTL-LoRA of the adapters library', 'adapterHubMtlLora', 'lora', byArchitecture('mtl_lora')],
  ['prefix tuning of the adapters library', 'adapterHubPrefixTuning', 'prompts', byArchitecture('prefix_tuning')],
  ['union of methods of the adapters library', 'mam', 'hybrid', byArchitecture('union')],
  ['fusion of the adapters library', 'adapterFusion', 'multitask', byArchitecture('fuse')],
  ['DiReFT', 'diReft', 'adapters', (c) => c['architecture'] === 'reft' && c['subtract_projection'] === false],
  [
    'LoReFT of the adapters library',
    'loReft',
    'adapters',
    (c) => c['architecture'] === 'reft' && c['orthogonality'] === true,
  ],
  ['NoReFT of the adapters library', 'noReft', 'adapters', byArchitecture('reft')],
  ['MAD-X of the adapters library (inv_adapter)', 'madX', 'adapters', ({ inv_adapter }) => inv_adapter === 'nice'],
  ['Compacter of the adapters library (phm_layer)', 'compacter', 'adapters', ({ phm_layer }) => phm_layer === true],
  ['bottleneck of the adapters library', 'bottleneckAdapter', 'adapters', byArchitecture(undefined)],
];

/** Types of Hugging Face PEFT that no method reads, and why. */
const unread: Readonly<Record<string, string>> = {
  XLORA:
    'it weighs several adapters, which are folders of their own; load those with lora, and this one with xLoraFor of @peftjs/lora, given them',
};

/** Kinds of LoRA of the adapters library whose files are not read, and what to do. */
const unreadThere = (config: AdapterConfig): string | undefined => {
  if (config.peft_type !== undefined) return undefined;
  if (config['architecture'] !== 'lora') return undefined;
  const vera = config['vera_d'] != null || config['vera_b'] != null;
  if (!vera) return undefined;
  // Its merge leaves alpha / r and the bias out of what DoRA scales.
  const [name, where] =
    config['use_dora'] === true ? ['DVoRA', ', which is right where alpha is r and layers have no bias'] : ['VeRA', ''];
  return `${name} of the adapters library; merge it into the base there, with merge_adapter${where}, and load that model`;
};

const unknown = (config: AdapterConfig, formats: readonly MethodFormat[]): PeftError => {
  const given = formats.map((f) => `${f.name} (${f.peftType})`).join(', ') || 'none';
  const why = unread[config.peft_type ?? ''];
  const there = unreadThere(config);
  if (there)
    return new PeftError('bad-adapter', `the folder holds an adapter that no method of these packages reads: ${there}`);
  const [kind, name, from] = known.find(([, , , reads]) => reads(config)) ?? [];
  const wanted = kind
    ? `the folder holds a ${kind}; pass ${name} from '@peftjs/${from}'`
    : why
      ? `the folder holds an adapter of type ${config.peft_type}, which no method of these packages reads: ${why}`
      : `the folder holds an adapter of type ${config.peft_type ?? config['architecture']}, which no method of these packages reads; pass the one that does`;
  return new PeftError('bad-adapter', `${wanted}. load was given: ${given}.`);
};

/** A format whose configuration has others inside it. */
export type OuterFormat = Pick<MethodFormat, 'reads' | 'fromConfig'>;

/** The method of a configuration, among some, `combine` and `outer` ones. Throws `bad-adapter`, naming the import that is missing. */
export const findMethod = (
  config: unknown,
  formats: readonly MethodFormat[],
  outer: readonly OuterFormat[],
): Method => {
  if (!isObject(config))
    throw new PeftError('bad-adapter', 'each method of adapter_config.json must be an object that says which it is');
  const own = config as AdapterConfig;
  const format = [...formats, combine, ...outer].find((f) => f.reads(own));
  if (!format) throw unknown(own, formats);
  return format.fromConfig(own, (inner) => findMethod(inner, formats, outer));
};
