import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { saveModel } from '@peftjs/transformer';
import type { Call } from '../commands.ts';
import { result } from '../context.ts';
import { templateFile } from '../conversation.ts';
import { dtypeOf, merged, onlyVoice } from '../merged.ts';
import { withSession } from '../session.ts';

/** `peftjs merge`: writes the model with the adapter folded in, in Hugging Face layout, with its tokenizer and its chat template. */
export const run = async ({ args: [path, out], options, context }: Call): Promise<void> => {
  const dtype = dtypeOf(options['dtype']);
  await withSession([path!], options, async (session) => {
    const voice = onlyVoice('merge', session);
    const model = await merged(voice, session.executor, { storedAs: dtype, context });
    await saveModel(model, out!, { executor: session.executor, dtype });
    if (voice.template !== null) await writeFile(join(out!, templateFile), voice.template);
    result(context, { model: out, dtype }, `Model: ${out}`);
  });
};
