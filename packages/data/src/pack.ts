import { PeftError } from '@peftjs/tensor';
import { checkDocument } from './check-ids.ts';
import { changed, checkCursor, countIn, cursorOf, inputIn } from './cursor.ts';
import { located } from './map.ts';
import { end, item, opened, originOf } from './opened.ts';
import { tooShort } from './pack-tokens.ts';
import { checkPack, makePacker, type Packed, type PackOptions } from './packer.ts';
import type { Cursor, Origin, Row, Stage } from './stream.ts';

/** A row for a language model: tokens, and which token each position is to predict. Both have `context` values. */
export type PackedRow = { readonly ids: Int32Array; readonly labels: Int32Array };

const rowOf = ({ tokens, labels }: Packed): PackedRow => ({ ids: tokens.subarray(0, -1), labels });

const checkRow = ({ ids, labels, ...others }: Row): void => {
  const names = Object.keys(others);
  if (names.length > 0)
    throw new PeftError(
      'bad-data',
      `pack joins rows of ids and labels, which ${names.join(', ')} can't be part of; leave it out`,
    );
  checkDocument('ids', ids);
  if (labels && labels.length !== ids!.length)
    throw new PeftError('bad-data', `there are ${ids!.length} ids and ${labels.length} labels; each token has one`);
};

/**
 * Joins documents, the end-of-text token before each and after the last, and cuts that into rows of `context` tokens of which each predicts the
 * next: what `packTokens` makes, for a stream. A document is a row of `ids`; with `labels` (the token that each one is to predict, −100 for none)
 * those are kept, and nothing is learnt of its first token. A cursor says how much of a document has been used, so that resuming reads one
 * document again. Throws `bad-data` with the place of what is no document, and when all text is shorter than one row.
 */
export const pack = (options: PackOptions): Stage<Row, PackedRow> => {
  checkPack('pack', options);
  const { context, endOfText, keepRest = false } = options;
  const stage = 'pack';
  const made = { context, endOfText };
  return (input) => ({
    open: (at, epoch) => {
      const checked = at && checkCursor(stage, made, at);
      let before: Cursor | null = checked ? inputIn(stage, checked) : null;
      /** Tokens of the document that starts at `before` that are in rows, its end-of-text token included. */
      let used = checked ? countIn(stage, checked, 'used') : 0;
      let isResumed = used > 0;
      const from = input.open(before ?? undefined, epoch);
      const packer = makePacker(options);
      let [tokens, count, rows] = [1, -1, checked ? 1 : 0];
      let origin: Origin = async () => 'the start';
      let isOver = false;

      const push = async (): Promise<boolean> => {
        await from.begin?.();
        const start = from.cursor();
        const next = await from.next();
        if (next.done) return false;
        count++;
        origin = originOf(from, count);
        try {
          checkRow(next.value);
        } catch (cause) {
          throw await located(origin, cause);
        }
        const { ids, labels } = next.value;
        tokens += ids!.length + 1;
        const waiting = packer.waiting();
        packer.push(ids!, labels);
        if (isResumed && used > ids!.length + 1) throw changed(stage);
        if (isResumed) packer.skip(used);
        else {
          before = start;
          // What waited before it comes from documents that are behind.
          used = 1 - waiting;
        }
        isResumed = false;
        return true;
      };
      return opened<PackedRow>({
        next: async () => {
          for (;;) {
            const row = packer.take();
            if (row) {
              used += context;
              rows++;
              return item(rowOf(row));
            }
            if (!isOver && (await push())) continue;
            const rest = keepRest && !isOver ? packer.rest() : null;
            isOver = true;
            used += rest?.labels.length ?? 0;
            rows += rest ? 1 : 0;
            if (rows === 0) throw tooShort(tokens, context);
            return rest ? item(rowOf(rest)) : end;
          }
        },
        cursor: () => cursorOf(stage, made, { input: before, used }),
        begin: async () => from.begin?.(),
        origin: () => origin,
        close: async () => from.return?.(),
      });
    },
  });
};
