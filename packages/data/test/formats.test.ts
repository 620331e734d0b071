import { memoryFiles } from '@peftjs/io';
import { messageOf } from '@peftjs/tensor/testing';
import { describe, expect, test } from 'vitest';
import {
  type ConvertOptions,
  classNames,
  convert,
  csv,
  type DataFormat,
  fromArray,
  imageFolder,
  json,
  pipe,
  recognise,
} from '../src/index.ts';
import { failure, obeysStreamLaws, readAll } from './stream-laws.ts';

const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });
const file = (content: string) => ({ files: memoryFiles(new Map([['a', content]])), path: 'a' });
const converted = async (items: readonly unknown[], options: ConvertOptions = {}): Promise<readonly unknown[]> =>
  obeysStreamLaws(pipe(fromArray(items), convert(recognise(items, options.fields).format, options)));

/** Items as files have them, the format that they are, and what they become. */
const cases: readonly (readonly [
  name: string,
  item: unknown,
  format: DataFormat,
  becomes: unknown,
  ConvertOptions?,
])[] = [
  ['messages', { messages: [user('a'), assistant('b')], id: 1 }, 'messages', { messages: [user('a'), assistant('b')] }],
  [
    'messages whose content is in parts, as OpenAI has them',
    {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: ' c' },
          ],
        },
        assistant('b'),
      ],
    },
    'messages',
    { messages: [user('a c'), assistant('b')] },
  ],
  ['a list of messages', [user('a'), assistant('b')], 'messages', { messages: [user('a'), assistant('b')] }],
  [
    'ShareGPT with a system text and tools in JSON',
    {
      conversations: [
        { from: 'human', value: 'a' },
        { from: 'function_call', value: '{"name":"f","arguments":{"x":1}}' },
        { from: 'observation', value: '2' },
        { from: 'gpt', value: 'b' },
      ],
      system: 'be kind',
      tools: '[{"name":"f"}]',
    },
    'messages',
    {
      messages: [
        { role: 'system', content: 'be kind' },
        user('a'),
        {
          role: 'assistant',
          content: '',
          tool_calls: [{ type: 'function', function: { name: 'f', arguments: { x: 1 } } }],
        },
        { role: 'tool', content: '2' },
        assistant('b'),
      ],
      tools: [{ name: 'f' }],
    },
  ],
  ['prompt and completion', { prompt: 'a', completion: 'b' }, 'completions', { prompt: 'a', completion: 'b' }],
  [
    'question and answer as messages',
    { question: 'a', answer: 'b' },
    'completions',
    { prompt: [user('a')], completion: [assistant('b')] },
    { as: 'messages' },
  ],
  [
    'prompt and completion as messages',
    { prompt: [user('a')], completion: [assistant('b')] },
    'completions',
    { prompt: [user('a')], completion: [assistant('b')] },
  ],
  [
    'other names of fields',
    { q: 'a', a: 'b' },
    'completions',
    { prompt: 'a', completion: 'b' },
    { fields: { prompt: 'q', completion: 'a' } },
  ],
  [
    'alpaca',
    { instruction: 'do', input: 'x', output: 'y' },
    'alpaca',
    {
      prompt:
        'Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\ndo\n\n### Input:\nx\n\n### Response:',
      completion: 'y',
    },
  ],
  [
    'alpaca with a history',
    { instruction: 'do', input: '', output: 'y', system: 's', history: [['p', 'q']] },
    'alpaca',
    { prompt: [{ role: 'system', content: 's' }, user('p'), assistant('q'), user('do')], completion: [assistant('y')] },
  ],
  ['a text', 'a', 'text', { text: 'a' }],
  ['text in a field, null beside', { text: 'a', label: null }, 'text', { text: 'a' }],
  ['text and label', { text: 'a', label: 'x' }, 'labels', { text: 'a', label: 'x' }],
  [
    'two texts and a number',
    { premise: 'a', hypothesis: 'b', label: 2, idx: 0 },
    'labels',
    { text: 'a', pair: 'b', label: 2 },
  ],
  ['several labels', { text: 'a', labels: ['x', 'y'] }, 'labels', { text: 'a', label: ['x', 'y'] }],
  ['tokens and tags', { tokens: ['a', 'b'], ner_tags: [0, 3] }, 'tags', { tokens: ['a', 'b'], tags: [0, 3] }],
  [
    'tokens and one of several tags',
    { tokens: ['a'], ner_tags: [0], pos_tags: [7] },
    'tags',
    { tokens: ['a'], tags: [7] },
    { fields: { tags: 'pos_tags' } },
  ],
  [
    'question, context and answers; starts are characters',
    { id: 'q', title: 't', question: 'Who?', context: '🐋 by Ahab', answers: { text: ['Ahab'], answer_start: [5] } },
    'questions',
    { id: 'q', question: 'Who?', context: '🐋 by Ahab', answers: [{ text: 'Ahab', start: 6 }] },
  ],
  ['document and summary', { document: 'a', summary: 'b' }, 'targets', { source: 'a', target: 'b' }],
  [
    'preferences with a prompt',
    { prompt: 'a', chosen: 'b', rejected: 'c' },
    'preferences',
    { prompt: 'a', chosen: 'b', rejected: 'c' },
  ],
  [
    'preferences whose prompt is the turns that both share',
    { chosen: [user('a'), assistant('b')], rejected: [{ content: 'a', role: 'user' }, assistant('c')] },
    'preferences',
    { prompt: [user('a')], chosen: [assistant('b')], rejected: [assistant('c')] },
  ],
  [
    'preferences whose prompt is told twice',
    { prompt: 'a', chosen: [user('a'), assistant('b')], rejected: [user('a'), assistant('c')] },
    'preferences',
    { prompt: [user('a')], chosen: [assistant('b')], rejected: [assistant('c')] },
  ],
  [
    'preferences whose prompt is the words that both share',
    { chosen: '\n\nHuman: a\n\nAssistant: blue', rejected: '\n\nHuman: a\n\nAssistant: black' },
    'preferences',
    { prompt: '\n\nHuman: a\n\nAssistant:', chosen: ' blue', rejected: ' black' },
  ],
  [
    'a verdict',
    { prompt: 'a', completion: 'b', label: false },
    'judged',
    { prompt: 'a', completion: 'b', label: false },
  ],
];

for (const [name, item, format, becomes, options = {}] of cases)
  test(name, async () => {
    expect(recognise([item], options.fields).format).toBe(format);
    expect(await converted([item, item], options)).toEqual([becomes, becomes]);
  });

test('files of SQuAD: articles of paragraphs of questions, each an item of its own', async () => {
  const qa = (id: string, text: string, answer_start: number) => ({
    id,
    question: `${id}?`,
    answers: [{ text, answer_start }],
  });
  const data = [
    { title: 't', paragraphs: [{ context: 'Ahab hunts', qas: [qa('1', 'Ahab', 0), qa('2', 'hunts', 5)] }] },
  ];
  const rows = json(file(JSON.stringify({ version: '1.1', data })));
  const items = await obeysStreamLaws(pipe(rows, convert('questions')));
  expect(items.map(({ id, answers }) => [id, ...answers])).toEqual([
    ['1', { text: 'Ahab', start: 0 }],
    ['2', { text: 'hunts', start: 5 }],
  ]);
});

test('a table of text', async () => {
  const rows = csv(file('review,stars,tokens\n"Good, really",5,"[""a""]"\n'));
  const fields = { text: 'review', label: 'stars' };
  expect((await readAll(pipe(rows, convert('labels', { fields })))).items).toEqual([
    { text: 'Good, really', label: '5' },
  ]);
});

describe('what is not clear is refused', () => {
  test('several formats', async () => {
    expect(await messageOf('bad-data', async () => recognise([{ input: 'a', output: 'b', n: 1 }]))).toBe(
      'the fields are input (text), output (text), n (the number 1), which could be completions (input, output) or targets (input, output): say which `format` it is',
    );
  });
  test('no format', async () => {
    const message = await messageOf('bad-data', async () => recognise([{ review: 'a', turns: [{ a: 1 }] }]));
    expect(message).toContain(
      'the fields are review (text), turns (a list of { a }), which is no format that is known.',
    );
    expect(message).toContain(
      '- completions: prompt (question, query) and completion (response, answer): texts or messages\n',
    );
    expect(message).toContain("Name fields that are called otherwise, as in fields: { text: 'review' }");
  });
  test('a field that is not there', async () => {
    expect(await messageOf('bad-data', async () => recognise([{ a: 1 }], { text: 'b' }))).toBe(
      'has no field b, which is to be its text; it has a',
    );
  });
  test('one item that is not as the others', async () => {
    const items = [{ text: 'a' }, { text: 'b' }, { txt: 'c' }];
    expect(await messageOf('bad-data', async () => recognise(items))).toBe(
      '2 of 3 items are text, but of item 2 the fields are txt (text); text needs text (content)',
    );
    expect(await failure('bad-data', pipe(fromArray(items), convert('text')))).toBe(
      'row 2: the fields are txt (text); text needs text (content)',
    );
  });
  test('several tags', async () => {
    const items = [{ tokens: ['a'], ner_tags: [0], pos_tags: [7] }];
    expect(await messageOf('bad-data', async () => recognise(items))).toBe(
      "tags: the tags could be ner_tags or pos_tags: name them, as { tags: 'ner_tags' }",
    );
  });
  test.each<[DataFormat, unknown, string]>([
    ['tags', { tokens: ['a', 'b'], tags: [1] }, 'has 2 tokens and 1 tags'],
    [
      'messages',
      { conversations: [{ from: 'narrator', value: 'a' }] },
      'has a message from the text "narrator"; who speaks is one of human, user',
    ],
    [
      'questions',
      { question: 'a', context: 'bcd', answers: { text: ['c'], answer_start: [2] } },
      'says that the answer "c" stands at character 2 of the context, where "d" stands',
    ],
    ['preferences', { chosen: 'a b', rejected: 'a b' }, 'has the same text as chosen and rejected'],
    [
      'preferences',
      { chosen: 'a', rejected: 'b' },
      'has no prompt, and chosen and rejected begin with nothing that both share',
    ],
    ['preferences', { prompt: 'a', chosen: 'b', rejected: '' }, 'has nothing in rejected after the prompt'],
  ])('%s: %j', async (format, item, message) => {
    expect(await failure('bad-data', pipe(fromArray([item]), convert(format)))).toContain(`row 0: ${message}`);
  });
});

describe('names of classes', () => {
  const namesOf = (labels: readonly (string | number | string[])[]) =>
    classNames(pipe(fromArray(labels.map((label) => ({ text: 'a', label }))), convert('labels')));
  test('are gathered, in the order of letters or of numbers', async () => {
    expect(await namesOf(['b', 'a', ['c', 'a']])).toEqual(['a', 'b', 'c']);
    expect(await namesOf(['10', '9', '10'])).toEqual(['9', '10']);
    expect(await namesOf([0, 3])).toEqual(['0', '1', '2', '3']);
  });
  test('what are no classes is refused', async () => {
    expect(await messageOf('bad-data', () => namesOf([0.5]))).toContain(
      'a label is 0.5; the number of a class is whole',
    );
    expect(await messageOf('bad-data', () => namesOf(['a', 1]))).toContain(
      'some labels are names, as a, and some numbers',
    );
  });
});

test('a folder of images', async () => {
  const files = memoryFiles(
    new Map([
      ['dogs/b.JPG', 'x'],
      ['cats/a.png', 'x'],
      ['cats/notes.txt', 'x'],
      ['list.csv', 'x'],
    ]),
  );
  const { items, labels } = await imageFolder(files);
  expect(labels).toEqual(['cats', 'dogs']);
  expect((await readAll(items)).items.map(({ image, label }) => [image.path, label])).toEqual([
    ['cats/a.png', 0],
    ['dogs/b.JPG', 1],
  ]);
  expect((await imageFolder(files, ['birds', 'cats', 'dogs'])).labels).toHaveLength(3);
  expect(await messageOf('bad-data', () => imageFolder(files, ['cats']))).toContain(
    'has the folders dogs, which are no classes',
  );
  expect(await messageOf('bad-data', () => imageFolder(memoryFiles(new Map([['a.png', 'x']]))))).toContain(
    'has no folders',
  );
});
