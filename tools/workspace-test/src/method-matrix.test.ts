import { expect, test } from 'vitest';
import { matrixOf, printedMatrix } from '../../method-matrix.mjs';

const ran = (suite: string, ...statuses: string[]) => ({
  assertionResults: statuses.map((status) => ({ ancestorTitles: [suite], status })),
});

const report = {
  testResults: [
    ran('lora on llama over dense on reference', 'passed', 'passed'),
    ran('lora on llama over dense on cpu', 'passed'),
    ran('lora on llama over nf4 on reference', 'passed', 'failed'),
    ran('lora on gpt2 over nf4 on cpu', 'passed'),
    ran('ia3 on llama over dense on reference', 'passed'),
    ran('ia3 on llama over dense on cpu', 'skipped'),
    ran('ia3 on gpt2 over dense is refused', 'passed'),
    ran('something else on cpu', 'passed'),
  ],
};

test('the matrix of methods is read from the titles of suites', () => {
  const cells = matrixOf(report);
  expect(cells).toHaveLength(7);
  expect(cells[2]).toEqual({
    method: 'lora',
    architecture: 'llama',
    format: 'nf4',
    executor: 'reference',
    refused: false,
    passed: 1,
    failed: 1,
  });
  expect(printedMatrix(cells)).toBe(
    [
      'Methods by architecture and by format, each on reference, cpu (✓ all laws tried hold, ✗ not all, – refused, · none tried):',
      '        llama  gpt2  dense  nf4  tests',
      '  ia3   ✓·     –·    ✓·     ··       2',
      '  lora  ✗✓     ·✓    ✓✓     ✗✓       6',
    ].join('\n'),
  );
  expect(printedMatrix([])).toBe('');
});
