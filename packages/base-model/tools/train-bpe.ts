import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { baseModelDir } from '../src/index.ts';
import { trainBpe } from './bpe.ts';
import { countWords } from './byte-level.ts';
import { pretrainingCorpus } from './corpus.ts';
import { endOfText, tokenizerConfig, tokenizerJson } from './tokenizer-files.ts';

const { values } = parseArgs({
  options: {
    vocab: { type: 'string', default: '4096' },
    out: { type: 'string', default: baseModelDir() },
  },
});

const words = countWords(pretrainingCorpus().train.map(({ text }) => text));
const bpe = trainBpe(words, Number(values.vocab), [endOfText]);

mkdirSync(values.out, { recursive: true });
writeFileSync(join(values.out, 'tokenizer.json'), `${JSON.stringify(tokenizerJson(bpe), null, 1)}\n`);
writeFileSync(join(values.out, 'tokenizer_config.json'), `${JSON.stringify(tokenizerConfig(256), null, 2)}\n`);
console.log(`${words.size} different words, ${bpe.merges.length} merges, ${bpe.tokens.length} tokens in ${values.out}`);
