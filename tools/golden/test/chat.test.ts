import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ChatMessage, type ChatOptions, loadChat, loadTokenizer, memoryFiles } from '@peftjs/io';
import { describe, expect, test } from 'vitest';

interface Row {
  readonly messages: readonly ChatMessage[];
  readonly options: ChatOptions;
  readonly text: string;
  readonly ids: readonly number[];
  readonly assistant?: readonly number[];
}

interface Golden {
  readonly tokenizers: Readonly<Record<string, object>>;
  readonly plain: readonly { readonly tokenizer: string; readonly text: string; readonly ids: readonly number[] }[];
  readonly cases: readonly {
    readonly name: string;
    readonly tokenizer: string;
    readonly config: object;
    readonly template: string | Readonly<Record<string, string>>;
    readonly rows: readonly Row[];
  }[];
}

const file = join(import.meta.dirname, '../data/io/chat.json');
const golden = JSON.parse(await readFile(file, 'utf8')) as Golden;

const json = (value: object): Uint8Array<ArrayBuffer> => new TextEncoder().encode(JSON.stringify(value));

/** A folder whose templates lie in the config: one, or a list of named ones. */
const folder = async (tokenizer: string, config: object, template?: string | Readonly<Record<string, string>>) => {
  const files = memoryFiles();
  const listed =
    typeof template === 'object' ? Object.entries(template).map(([name, one]) => ({ name, template: one })) : template;
  await files.write(
    new Map([
      ['tokenizer_config.json', json({ ...config, chat_template: listed })],
      ['tokenizer.json', json(golden.tokenizers[tokenizer]!)],
    ]),
  );
  return files;
};

describe.each(golden.cases)('chat of $name', ({ tokenizer, config, template, rows }) => {
  test.each(rows.map((row, i) => ({ i, row })))('conversation $i is that of transformers', async ({ row }) => {
    const chat = await loadChat(await folder(tokenizer, config, template));
    const { messages, options, text, ids, assistant } = row;
    const asThere = { ...options, readSpecial: true };
    expect(chat.text(messages, asThere)).toBe(text);
    expect([...chat.encode(messages, asThere)]).toEqual(ids);
    if (!assistant) return;
    const turns = chat.encodeTurns(messages, asThere);
    expect([...turns.ids]).toEqual(ids);
    expect([...turns.assistant]).toEqual(assistant);
    expect(turns.assistant).toContain(1);
  });
});

test.each(golden.plain)('special tokens in $text stay text', async ({ tokenizer, text, ids }) => {
  const made = await loadTokenizer(await folder(tokenizer, {}));
  expect([...made.encode(text, { readSpecial: false, special: false })]).toEqual(ids);
});
