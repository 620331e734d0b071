import { relative } from 'node:path';

const first = (message = '') =>
  message
    .split('\n')
    .map((line) => line.trim())
    .find((line) => line !== '') ?? 'no message';

/** The tests that failed, and the files that could not be loaded, each with the first line of its message; empty where all passed. */
export const failures = ({ testResults }, root) =>
  testResults
    .filter(({ status }) => status === 'failed')
    .flatMap(({ name, message, assertionResults }) => {
      const bad = assertionResults.filter(({ status }) => status === 'failed');
      const file = relative(root, name);
      return bad.length === 0
        ? [`  ${file}\n      ${first(message)}`]
        : bad.map(({ fullName, failureMessages }) => `  ${file} > ${fullName}\n      ${first(failureMessages[0])}`);
    })
    .join('\n');
