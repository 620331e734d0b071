import type { JsonObject } from '../json.ts';

/** The decoder of SentencePiece's BPE in `tokenizer.json`: marks are spaces, and where a text was marked in front, the first is taken away. */
export const sentencePieceDecoder = (marked: boolean): JsonObject => ({
  type: 'Sequence',
  decoders: [
    { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
    ...(marked ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
  ],
});
