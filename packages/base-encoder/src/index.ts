export { baseEncoderDir } from './base-encoder-dir.ts';
