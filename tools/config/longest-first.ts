import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Ends of the paths of test files that take a minute or more. */
const long: readonly string[] = [
  'packages/lora/test/laws.test.ts',
  'tools/golden/test/methods.test.ts',
  'tools/golden/test/families.test.ts',
  'apps/demo/test/demo.test.ts',
  'packages/adapters/test/laws.test.ts',
];

const placeOf = ({ moduleId }: TestSpecification): number => {
  const place = long.findIndex((end) => moduleId.endsWith(end));
  return place < 0 ? long.length : place;
};

/** The order in which test files begin: the long ones first, so that at the end no single one keeps one core busy and the others idle. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort((a, b) => placeOf(a) - placeOf(b));
  }
}
