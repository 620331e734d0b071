import { parseArgs } from 'node:util';
import { baseModelDir, type Document } from '../src/index.ts';
import { bySource, countText, pretrainingCorpus } from './corpus.ts';
import { kneserNey, meanLoss } from './kneser-ney.ts';
import { readTokenizer, tokenStream } from './token-stream.ts';

// The yardstick for the base model: what a trigram model with back-off reaches on the same held-out tokens.
const { values } = parseArgs({
  options: {
    tokenizer: { type: 'string', default: baseModelDir() },
    order: { type: 'string', default: '3' },
  },
});

const tokenizer = readTokenizer(values.tokenizer);
const { train, heldOut } = pretrainingCorpus();
const trainTokens = tokenStream(tokenizer, train);
const vocabSize = tokenizer.get_vocab().size;
const model = kneserNey(trainTokens, Number(values.order), vocabSize);

function measure(documents: readonly Document[]): {
  tokens: number;
  natsPerToken: number;
  natsPerByte: number;
} {
  const tokens = tokenStream(tokenizer, documents);
  const natsPerToken = meanLoss(model, tokens);
  return {
    tokens: tokens.length,
    natsPerToken,
    natsPerByte: (natsPerToken * (tokens.length - 1)) / countText(documents).bytes,
  };
}

console.table(Object.fromEntries([...bySource(heldOut)].map(([source, documents]) => [source, measure(documents)])));
console.log(
  JSON.stringify({
    order: Number(values.order),
    vocabSize,
    trainTokens: trainTokens.length,
    heldOut: measure(heldOut),
  }),
);
