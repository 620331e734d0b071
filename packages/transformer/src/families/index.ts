import { PeftError } from '@peftjs/tensor';
import type { ModelConfig } from '../config/model-config.ts';
import { albert } from './albert.ts';
import { bart, mbart } from './bart/bart.ts';
import { beit } from './beit.ts';
import { bert } from './bert.ts';
import { bloom } from './bloom.ts';
import { clip } from './clip.ts';
import { cohere } from './cohere.ts';
import { debertaV2 } from './deberta-v2.ts';
import { dinov2 } from './dinov2.ts';
import { distilbert } from './distilbert.ts';
import { electra } from './electra.ts';
import { falcon } from './falcon.ts';
import type { Family } from './family.ts';
import { gemma } from './gemma.ts';
import { gemma2 } from './gemma2.ts';
import { gemma3 } from './gemma3.ts';
import { gptNeox } from './gpt-neox.ts';
import { gptOss } from './gpt-oss.ts';
import { gpt2 } from './gpt2/gpt2.ts';
import { gptj } from './gptj.ts';
import { granite } from './granite.ts';
import { llama } from './llama.ts';
import { mistral } from './mistral.ts';
import { mixtral } from './mixtral.ts';
import { modernbert } from './modernbert/modernbert.ts';
import { mpnet } from './mpnet.ts';
import { olmo2 } from './olmo2.ts';
import { opt } from './opt.ts';
import { phi } from './phi.ts';
import { phi3 } from './phi3.ts';
import { qwen2 } from './qwen2.ts';
import { qwen2Moe } from './qwen2-moe.ts';
import { qwen3 } from './qwen3.ts';
import { qwen3Moe } from './qwen3-moe.ts';
import { roberta, xlmRoberta } from './roberta.ts';
import { siglip } from './siglip.ts';
import { smollm3 } from './smollm3.ts';
import { stablelm } from './stablelm.ts';
import { t5 } from './t5/t5.ts';
import { deit, vit } from './vit.ts';

/** All families, by `model_type`: the one place that names them. */
export const families: Readonly<Record<string, Family>> = Object.fromEntries(
  (
    [
      llama,
      qwen2,
      qwen3,
      mistral,
      mixtral,
      qwen2Moe,
      qwen3Moe,
      gptOss,
      gemma,
      gemma2,
      gemma3,
      smollm3,
      olmo2,
      granite,
      phi3,
      stablelm,
      cohere,
      phi,
      gptNeox,
      gptj,
      opt,
      bloom,
      falcon,
      gpt2,
      bert,
      roberta,
      xlmRoberta,
      distilbert,
      electra,
      albert,
      mpnet,
      debertaV2,
      modernbert,
      t5,
      bart,
      mbart,
      vit,
      deit,
      dinov2,
      beit,
      clip,
      siglip,
    ] as unknown as readonly Family[]
  ).map((family) => [family.modelType, family]),
);

/** The family of a `model_type`. Throws `unknown-architecture` with those there are. */
const familyOf = (modelType: string, who = 'model'): Family => {
  const family = Object.hasOwn(families, modelType) ? families[modelType] : undefined;
  if (family) return family;
  throw new PeftError(
    'unknown-architecture',
    `${who}: architecture ${String(modelType)} cannot be built; there are ${Object.keys(families).join(', ')}. Choose a model of one of these.`,
  );
};

/** The family of a config, as one that takes it. */
export const familyOfConfig = (config: ModelConfig): Family => familyOf(config.modelType);
