export { baseSeq2seqDir } from './base-seq2seq-dir.ts';
