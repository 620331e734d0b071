import { bottleneckAdapter, compacter, houlsby, madX, parallelAdapter, pfeiffer } from '@peftjs/adapters';
import type { MethodFormat } from '@peftjs/core';
import { adapterHubLora } from '@peftjs/lora';
import { adapterHubPrefixTuning } from '@peftjs/prompts';
import type { Tensor } from '@peftjs/tensor';
import {
  imageClassifier,
  multipleChoice,
  questionAnswering,
  sequenceClassifier,
  stackedHead,
  type Task,
  tokenClassifier,
} from '@peftjs/transformer';

/** An adapter of the adapters library with its head, on the model of a golden. */
export interface HubHead {
  readonly name: string;
  readonly adapter: string;
  readonly format: MethodFormat;
  /** The task of a head of layers. Default: that of the golden, whose head is the one of transformers' class. */
  readonly task?: Task<Tensor>;
}

const [labels, prefix, lora] = [3, adapterHubPrefixTuning, adapterHubLora];
const choices = multipleChoice({ choices: 3 });
const texts = sequenceClassifier({ labels });

/** What `make_hub_families.py` makes, but for prefixes on models whose task trains no head. */
export const hubHeads: readonly HubHead[] = [
  { name: 'bert-sequence', adapter: 'hub-lora', format: lora },
  {
    name: 'bert-sequence',
    adapter: 'hub-stack',
    format: prefix,
    task: stackedHead(sequenceClassifier({ labels: ['ham', 'spam', 'eggs'] })),
  },
  {
    name: 'bert-sequence',
    adapter: 'hub-labels',
    format: lora,
    task: stackedHead(sequenceClassifier({ labels, problem: 'multi-label' }), { layers: 1, pooler: true }),
  },
  {
    name: 'bert-token',
    adapter: 'hub-tags',
    format: lora,
    task: stackedHead(tokenClassifier({ labels }), { layers: 2, activation: 'gelu' }),
  },
  { name: 'bert-answers', adapter: 'hub-answers', format: prefix, task: stackedHead(questionAnswering()) },
  { name: 'bert-choice', adapter: 'hub-choice', format: lora, task: stackedHead(choices, { pooler: true }) },
  { name: 'roberta-sequence', adapter: 'hub-lora', format: lora },
  {
    name: 'roberta-sequence',
    adapter: 'hub-stack',
    format: prefix,
    task: stackedHead(texts, { layers: 3, activation: 'relu' }),
  },
  { name: 't5-sequence', adapter: 'hub-prefix-tuning', format: prefix },
  { name: 't5-sequence', adapter: 'hub-stack', format: prefix, task: stackedHead(texts) },
  { name: 't5-token', adapter: 'hub-prefix-tuning', format: prefix },
  { name: 't5-answers', adapter: 'hub-answers', format: lora, task: stackedHead(questionAnswering(), { layers: 2 }) },
  { name: 't5', adapter: 'hub-language', format: prefix },
  { name: 'bart-sequence', adapter: 'hub-lora', format: lora },
  { name: 'bart-sequence', adapter: 'hub-stack', format: lora, task: stackedHead(texts, { activation: null }) },
  { name: 'vit-image', adapter: 'hub-lora', format: lora },
  {
    name: 'vit-image',
    adapter: 'hub-numbers',
    format: prefix,
    task: stackedHead(imageClassifier({ labels: 1, problem: 'regression' }), { layers: 2 }),
  },
  { name: 'clip-pairs', adapter: 'hub-lora', format: lora },
  { name: 'bert-sequence', adapter: 'hub-bottleneck', format: pfeiffer },
  { name: 'bert-sequence', adapter: 'hub-places', format: bottleneckAdapter },
  { name: 'bert-sequence', adapter: 'hub-parallel', format: parallelAdapter },
  { name: 'bert-sequence', adapter: 'hub-invertible', format: madX },
  { name: 'bert-sequence', adapter: 'hub-compacter', format: compacter },
  { name: 'xlm-roberta-token', adapter: 'hub-bottleneck', format: pfeiffer },
  { name: 'bart-sequence', adapter: 'hub-bottleneck', format: bottleneckAdapter },
  { name: 't5-sequence', adapter: 'hub-bottleneck', format: pfeiffer },
  ...[
    'roberta-sequence',
    'distilbert-sequence',
    'electra-sequence',
    'deberta-v2-sequence',
    't5',
    'vit-image',
    'clip-pairs',
  ].map((name): HubHead => ({ name, adapter: 'hub-bottleneck', format: houlsby })),
];
