import { batch, flatMap, ignored, pipe } from '@peftjs/data';
import { PeftError } from '@peftjs/tensor';
import { evaluateLoss } from '@peftjs/trainer';
import type { Call } from '../commands.ts';
import { readRunConfig } from '../config/read.ts';
import { count, result } from '../context.ts';
import { type Example, encodeExample } from '../data/encode-example.ts';
import { lengthStep } from '../data/examples.ts';
import { openItems } from '../data/open-items.ts';
import { numberIn } from '../sampling.ts';
import { withSession } from '../session.ts';

/** `peftjs evaluate`: the mean loss of what is learnt of examples, with the adapter and without. */
export const run = async ({ args, options, context }: Call): Promise<void> => {
  const data = options['data'] as readonly string[] | undefined;
  if (!data) throw new PeftError('bad-option', 'evaluate: give the examples with --data');
  // The defaults of a run hold here too.
  const config = await readRunConfig(undefined, [{ path: ['data'], value: data }]);
  const batchSize = numberIn(options, 'batchSize', true) ?? config.batchSize;
  await withSession(args, options, async ({ base, chat: own, voices, model, executor }) => {
    const encoder = { chat: voices[0]?.chat ?? own, end: base.end, learn: config.data.learn };
    const room = Math.min(model.config.maxPositions, model.positionsLeft, numberIn(options, 'context', true) ?? 1024);
    let [examples, cut] = [0, 0];
    const rows = flatMap((example: Example) => {
      const { ids, labels } = encodeExample(example, encoder);
      const row = { ids: ids.slice(0, room), labels: labels.slice(0, room) };
      if (row.labels.every((label) => label === ignored)) return [];
      examples++;
      if (ids.length > room) cut++;
      return [row];
    });
    const stream = pipe(
      await openItems(data, config.data),
      rows,
      batch({ size: batchSize, multipleOf: lengthStep, mask: false }),
    );
    const { loss, tokens } = await evaluateLoss(model, stream, { executor });
    const seen = { examples, cut };
    const bare = voices.length > 0 ? (await evaluateLoss(base.model, stream, { executor })).loss : null;
    const facts = { loss, perplexity: Math.exp(loss), tokens, ...seen, baseLoss: bare };
    const lines = [
      `loss ${loss.toFixed(4)} nats per token, perplexity ${facts.perplexity.toFixed(2)}`,
      `${count(seen.examples)} examples, ${count(tokens)} tokens learnt${seen.cut > 0 ? `; ${count(seen.cut)} examples were cut at ${room} tokens` : ''}`,
      ...(bare === null ? [] : [`the base without the adapter: ${bare.toFixed(4)}`]),
    ];
    result(context, facts, lines.join('\n'));
  });
};
