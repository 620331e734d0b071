/** What a new method changes, as texts by path; throws an Error that says what is wrong. */
export const plan: (base: string, family: string, name: string) => Map<string, string>;
