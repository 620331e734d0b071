import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Consumer } from './consumer.ts';
import { codeBlocks } from './readme.ts';
import { root, run, runNode } from './run.ts';

const page = join(root, 'docs/own-method.md');

/** The files of the page, by the path in the first line of each block. */
const files: ReadonlyMap<string, string> = new Map(
  codeBlocks(page)
    .filter(({ language }) => language === 'ts')
    .map(({ code }) => [/^\/\/ (\S+)\n/.exec(code)?.[1] ?? '', code]),
);

/** As strict as it gets. */
const compilerOptions = {
  module: 'nodenext',
  target: 'es2023',
  lib: ['es2023', 'dom'],
  types: [],
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  noImplicitOverride: true,
  verbatimModuleSyntax: true,
  isolatedDeclarations: true,
  declaration: true,
  skipLibCheck: true,
  outDir: 'dist',
};

const tsc = createRequire(import.meta.url).resolve('typescript/lib/tsc.js');

interface Report {
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

/** Mistakes in each of the three, and the law that tells. */
const mistakes: readonly (readonly [file: string, right: string, wrong: string, law: RegExp])[] = [
  ['src/lora-fa.ts', 'mul(matmul(b, a), scale)', 'matmul(b, a)', /loraFa .* on reference applies what dense\(\) says/],
  [
    'src/focal-classifier.ts',
    'weight: sum(counts)',
    'weight: constant(Float32Array.of(1), [])',
    /focalClassifier on reference the loss is a sum and a weight/,
  ],
  ['src/adagrad.ts', 'mul(rate, ', 'mul(neg(rate), ', /adagrad on reference an optimiser goes downhill/],
];

/** Tests of what a third party writes: a project of its own, with the packed packages, whose files are those of the page. */
export const ownProjectTests = (installed: () => Consumer): void => {
  describe('a project of a third party', () => {
    let project: string;
    /** All that Vitest printed. */
    let said: string;
    const write = async (path: string, text: string): Promise<void> => {
      await mkdir(dirname(join(project, path)), { recursive: true });
      await writeFile(join(project, path), text);
    };
    /** All tests of its laws, by the project's own Vitest: the name of each with what it says where it fails. */
    const laws = async (): Promise<ReadonlyMap<string, string | null>> => {
      const vitest = join(installed().folder, 'node_modules/vitest/vitest.mjs');
      const options = ['run', '--dir=test', '--reporter=default', '--reporter=json', '--outputFile.json=laws.json'];
      // What it warns of is beside stdout; with mistakes in it, it is meant to fail. No GPU is found where its driver is not.
      const script = '"$@" 2>&1 || true';
      const noGpu = { VK_DRIVER_FILES: join(project, 'no-driver.json') };
      said = await run('sh', ['-c', script, 'sh', process.execPath, vitest, ...options], project, noGpu);
      const { testResults } = JSON.parse(await readFile(join(project, 'laws.json'), 'utf8')) as Report;
      const problems = testResults.flatMap(({ message }) => (message ? [message] : []));
      expect(problems).toEqual([]);
      return new Map(
        testResults
          .flatMap(({ assertionResults }) => assertionResults)
          .map(({ fullName, status, failureMessages }) => [
            fullName,
            status === 'failed' ? failureMessages.join() : null,
          ]),
      );
    };
    beforeAll(async () => {
      // Within the folder where the packages are installed, as a second installation would bring the same.
      project = join(installed().folder, 'own-project');
      await mkdir(project, { recursive: true });
      await run('npm', ['init', '-y'], project);
      await run('npm', ['pkg', 'set', 'type=module'], project);
      await write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['src', 'test'] }));
      for (const [path, code] of files) await write(path, code);
    }, 120_000);

    test('has the files of the page, and they are sound in strict TypeScript', async () => {
      expect([...files.keys()].sort()).toEqual([
        'src/adagrad.ts',
        'src/focal-classifier.ts',
        'src/lora-fa.ts',
        'src/main.ts',
        'test/laws.test.ts',
      ]);
      await run(process.execPath, [tsc, '-p', '.'], project);
    }, 120_000);

    test('trains with its own method, task and optimiser', async () => {
      expect(await runNode(join(project, 'dist/src/main.js'), project)).toBe('loraFa true\n');
    }, 120_000);

    test('holds the laws, and they tell of mistakes', async () => {
      const sound = await laws();
      expect(said).toMatch(/the laws ran without webgpu: .*@sparticuz\/chromium/);
      expect([...sound].filter(([, problem]) => problem !== null)).toEqual([]);
      for (const subject of ['loraFa', 'focalClassifier', 'adagrad'])
        expect([...sound.keys()].filter((name) => name.startsWith(`${subject} on`)).length).toBeGreaterThan(4);
      for (const [path, right, wrong] of mistakes) {
        const code = files.get(path)!;
        expect(code).toContain(right);
        await write(path, code.replace(right, wrong));
      }
      const found = await laws();
      for (const [, , , law] of mistakes)
        expect(
          [...found].some(([name, problem]) => law.test(name) && problem !== null),
          `${law}`,
        ).toBe(true);
    }, 300_000);
  });
};
