/** One method over one base on one executor. */
export interface MatrixCell {
  readonly method: string;
  readonly architecture: string;
  readonly format: string;
  readonly executor: string;
  /** Whether the method refuses the base, and the test is that it says so. */
  readonly refused: boolean;
  readonly passed: number;
  readonly failed: number;
}

/** What is read of Vitest's JSON report. */
export interface TestReport {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly ancestorTitles: readonly string[]; readonly status: string }[];
  }[];
}

export function matrixOf(report: TestReport): readonly MatrixCell[];
export function printedMatrix(cells: readonly MatrixCell[]): string;
