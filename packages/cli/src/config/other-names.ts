/** Names that other trainers have for a field, in lower case without `_`, `-` and a `lora_` in front, and where it stands here. */
const others: Readonly<Record<string, string>> = {
  basemodel: 'model',
  modelnameorpath: 'model',
  dataset: 'data',
  datasets: 'data',
  datasetdir: 'data',
  traindata: 'data',
  valsetsize: 'data.heldOut',
  cutofflen: 'data.context',
  maxlength: 'data.context',
  maxseqlength: 'data.context',
  sequencelen: 'data.context',
  context: 'data.context',
  template: 'data.template',
  chattemplate: 'data.template',
  finetuningtype: 'method',
  finetunetype: 'method',
  adapter: 'method',
  r: 'method.rank',
  rank: 'method.rank',
  alpha: 'method.alpha',
  dropout: 'method.dropout',
  target: 'method.target',
  targetmodules: 'method.target',
  lr: 'optimizer.rate',
  rate: 'optimizer.rate',
  learningrate: 'optimizer.rate',
  optim: 'optimizer',
  weightdecay: 'optimizer.weightDecay',
  maxgradnorm: 'optimizer.clip',
  lrscheduler: 'schedule',
  lrschedulertype: 'schedule',
  warmup: 'schedule.warmup',
  warmupratio: 'schedule.warmup',
  iters: 'steps',
  maxsteps: 'steps',
  numepochs: 'epochs',
  numtrainepochs: 'epochs',
  microbatchsize: 'batchSize',
  perdevicetrainbatchsize: 'batchSize',
  gradientaccumulationsteps: 'accumulate',
  gradaccumulationsteps: 'accumulate',
  gradientcheckpointing: 'recompute',
  gradcheckpoint: 'recompute',
  quantizationbit: 'quantize',
  loadin4bit: 'quantize',
  loadin8bit: 'quantize',
  stepspereval: 'evaluateEvery',
  evalsteps: 'evaluateEvery',
  savesteps: 'checkpointEvery',
  saveevery: 'checkpointEvery',
  outputdir: 'out',
  adapterpath: 'out',
};

/** Where a field stands that was written by the name that LLaMA-Factory, axolotl, mlx-lm or Hugging Face's trainer have for it; null where it is none of theirs. */
export const byOtherName = (key: string): string | null => {
  const plain = key
    .replace(/^(lora|dora)_/, '')
    .replace(/[_-]/g, '')
    .toLowerCase();
  return Object.hasOwn(others, plain) ? others[plain]! : null;
};
