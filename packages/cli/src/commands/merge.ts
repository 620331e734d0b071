import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Adapted } from '@peftjs/core';
import type { Executor } from '@peftjs/tensor';
import { saveModel, type TaskModel } from '@peftjs/transformer';
import type { Call } from '../commands.ts';
import { result } from '../context.ts';
import { templateFile } from '../conversation.ts';
import { tunedOfTask } from '../learn/open-run.ts';
import { dtypeOf, merged, onlyVoice } from '../merged.ts';
import { checkApart } from '../output.ts';
import { withDevice, withSession } from '../session.ts';

/** `peftjs merge`: writes the model with the adapter folded in, in Hugging Face layout, with its tokenizer and its chat template; of a run that tells classes with its head. */
export const run = async ({ args: [path, out], options, context }: Call): Promise<void> => {
  const dtype = dtypeOf(options['dtype']);
  checkApart('merge', path!, out!);
  const write = async (adapted: Adapted<TaskModel>, executor: Executor): Promise<void> => {
    const model = await merged(adapted, executor, { storedAs: dtype, context });
    await saveModel(model, out!, { executor, dtype });
  };
  const own = await tunedOfTask(path, options);
  if (own) {
    checkApart('merge', own.base, out!);
    await withDevice(options, (executor) => write(own.adapted, executor));
  } else
    await withSession([path!], options, async (session) => {
      const { adapted, template } = onlyVoice('merge', session);
      checkApart('merge', session.base.files.name, out!);
      await write(adapted, session.executor);
      if (template !== null) await writeFile(join(out!, templateFile), template);
    });
  result(context, { model: out, dtype }, `Model: ${out}`);
};
