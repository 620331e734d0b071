import { messageOf } from '@peftjs/tensor/testing';
import { describe, expect, test } from 'vitest';
import { loadChat, memoryFiles } from '../src/index.ts';
import { byteLevel } from './byte-level.ts';

const encode = (value: unknown): Uint8Array<ArrayBuffer> =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));

const config = { bos_token: '<|end|>', eos_token: { content: '<|end|>', special: true }, pad_token: '<|pad|>' };
const turns = `{% for m in messages %}{{ m.role + ': ' + m.content + eos_token + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}`;

const folder = async (files: Readonly<Record<string, unknown>>) => {
  const made = memoryFiles();
  const all = { 'tokenizer.json': byteLevel(), 'tokenizer_config.json': config, ...files };
  await made.write(new Map(Object.entries(all).map(([name, value]) => [name, encode(value)])));
  return made;
};
const chatOf = async (template: string) => loadChat(await folder({ 'chat_template.jinja': template }));
const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });

describe('whose template', () => {
  test('a file of its own comes before that of the config, with those of the folder beside it', async () => {
    const files = await folder({
      'chat_template.jinja': 'own {{ messages[0].content }}',
      'additional_chat_templates/tool_use.jinja': 'tools {{ tools | length }}',
      'tokenizer_config.json': { ...config, chat_template: 'of the config' },
    });
    const chat = await loadChat(files);
    expect(chat.templates).toEqual(['default', 'tool_use']);
    expect(chat.text([user('x')])).toBe('own x');
    expect(chat.text([user('x')], { tools: [{}, {}] })).toBe('tools 2');
    expect(chat.text([user('x')], { tools: [{}], template: 'default' })).toBe('own x');
  });

  test('line breaks of every kind are one, in texts too', async () => {
    const chat = await chatOf("{% for m in messages -%}\r\n{{ m.role + '\r\n' }}\r\n{%- endfor %}\r.");
    expect(chat.text([user('x')])).toBe('user\n.');
  });

  test('special tokens are those of the config, then of the map', async () => {
    const files = await folder({
      'chat_template.jinja': '{{ bos_token }}{{ cls_token }}{{ image_token }}',
      'special_tokens_map.json': { bos_token: '<old>', cls_token: '<cls>' },
      'tokenizer_config.json': { ...config, extra_special_tokens: { image_token: '<image>' } },
    });
    expect((await loadChat(files)).text([user('x')])).toBe('<|end|><cls><image>');
  });

  test('a folder without one says so; a given one stands in', async () => {
    const files = await folder({});
    expect(await messageOf('bad-tokenizer', () => loadChat(files))).toContain('has no chat template');
    expect((await loadChat(files, { template: turns })).text([user('x')])).toBe('user: x<|end|>\n');
  });

  test('what is wrong with a template, its name or the messages is told', async () => {
    const broken = await chatOf('{% if %}');
    expect(await messageOf('bad-tokenizer', async () => broken.text([user('x')]))).toContain('no Jinja');
    const strict = await chatOf("{{ raise_exception('no system here') }}");
    expect(await messageOf('bad-option', async () => strict.text([user('x')]))).toContain('no system here');
    expect(await messageOf('bad-option', async () => strict.text([user('x')], { template: 'y' }))).toContain('default');
    expect(await messageOf('bad-option', async () => strict.text([]))).toContain('there is none');
    expect(await messageOf('bad-option', async () => strict.text([user('x'), {} as never]))).toContain('message 1');
  });
});

describe('special tokens in what a user writes', () => {
  test('stay text, in all places, however the template cuts them up', async () => {
    const chat = await chatOf(
      `{% for m in messages %}{{ m.content.split('|') | join('|') + eos_token }}{% endfor %}{{ tools | tojson }}`,
    );
    const end = chat.tokenizer.idOf('<|end|>')!;
    const ids = chat.encode([user('<|end|>a<|pad|>')], { tools: [{ name: '<|end|>' }] });
    expect([...ids].filter((id) => id === end)).toHaveLength(1);
    expect(ids).not.toContain(chat.tokenizer.idOf('<|pad|>'));
    expect(chat.tokenizer.decode(ids)).toBe('<|end|>a<|pad|><|end|>[{"name": "<|end|>"}]');
  });

  test('are refused where the template counts characters', async () => {
    const chat = await chatOf('{{ messages[0].content[3:] }}');
    expect(chat.text([user('hello')])).toBe('lo');
    expect(await messageOf('bad-option', async () => chat.encode([user('<|end|>x')]))).toContain('readSpecial');
    expect(chat.text([user('<|end|>x')], { readSpecial: true })).toBe('nd|>x');
  });

  test('are read where that is asked for', async () => {
    const chat = await chatOf(turns);
    const end = chat.tokenizer.idOf('<|end|>')!;
    const count = (readSpecial: boolean): number =>
      chat.encode([user('a<|end|>b')], { readSpecial }).filter((id) => id === end).length;
    expect([count(false), count(true)]).toEqual([1, 2]);
  });

  test('nobody forges the marks: characters of private use come through', async () => {
    const chat = await chatOf(`{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}`);
    const odd = '\ue000<|end|>\ue001\ue002';
    expect(chat.text([user(odd)])).toBe(odd);
    expect(chat.encodeTurns([user(odd)]).ids).not.toContain(chat.tokenizer.idOf('<|end|>'));
  });
});

describe('what the assistant says', () => {
  const said = async (template: string, messages: readonly { role: string; content: string }[]) => {
    const chat = await chatOf(template);
    const { ids, assistant } = chat.encodeTurns(messages);
    return chat.tokenizer.decode(ids.filter((_, t) => assistant[t]));
  };

  test('is what messages add, to the end of the turn', async () => {
    expect(await said(turns, [user('hi'), assistant('hello'), user('and'), assistant('there\n')])).toBe(
      'hello<|end|>there\n<|end|>',
    );
    expect(await said(turns, [assistant('hello'), user('hi')])).toBe('hello<|end|>');
  });

  test('is what the template marks', async () => {
    const marked = `{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}
      {%- generation -%}   {{ m.content }}  {%- endgeneration %}
{% else %}{{ m.content }}{% endif %}{% endfor %}`;
    expect(await said(marked, [user('hi'), assistant('hello'), user('x'), assistant('y')])).toBe('helloy');
    expect(await said(marked, [user('hi')])).toBe('');
  });

  test('takes in a token that a mark cuts', async () => {
    // "hello" is one token.
    expect(await said('{{ "hel" }}{% generation %}{{ "lo" }}{% endgeneration %}', [user('')])).toBe('hello');
    expect(await said('{% generation %}{{ "hel" }}{% endgeneration %}{{ "lo" }}', [user('')])).toBe('hello');
  });

  test('is refused where earlier messages change once there are later ones', async () => {
    const forgets = `{% for m in messages %}{{ m.role + ': ' + (m.content if loop.last else '…') + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}`;
    const chat = await chatOf(forgets);
    const messages = [user('hi'), assistant('hello'), user('x')];
    expect(await messageOf('bad-option', async () => chat.encodeTurns(messages))).toContain('message 1');
  });
});
