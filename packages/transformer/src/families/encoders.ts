import { albert } from './albert.ts';
import { bart, mbart } from './bart/bart.ts';
import { bert } from './bert.ts';
import { deberta } from './deberta.ts';
import { debertaV2 } from './deberta-v2.ts';
import { distilbert } from './distilbert.ts';
import { electra } from './electra.ts';
import type { Family } from './family.ts';
import { modernbert } from './modernbert/modernbert.ts';
import { mpnet } from './mpnet.ts';
import { roberta, xlmRoberta } from './roberta.ts';
import { mt5, t5, umt5 } from './t5/t5.ts';

/** All models of texts with an encoder, alone or beside a decoder. */
export const encoders: readonly Family[] = [
  bert,
  roberta,
  xlmRoberta,
  distilbert,
  electra,
  albert,
  mpnet,
  deberta,
  debertaV2,
  modernbert,
  t5,
  mt5,
  umt5,
  bart,
  mbart,
] as unknown as readonly Family[];
