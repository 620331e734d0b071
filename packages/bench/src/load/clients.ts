/** A request, and what is answered to it when nothing else runs. */
export interface Case {
  readonly model: string;
  readonly prompt: string;
  readonly maxTokens: number;
}

/** An answer. */
export interface Answer {
  readonly text: string;
  readonly tokens: number;
  readonly seconds: number;
}

/** Asks a server once. Throws for what is no answer. */
export const ask = async (port: number, { model, prompt, maxTokens }: Case): Promise<Answer> => {
  const start = performance.now();
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      messages: [{ role: 'user', content: prompt }],
      max_tokens: maxTokens,
      temperature: 0,
    }),
  });
  const body = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${body}`);
  const { choices, usage } = JSON.parse(body);
  return {
    text: choices[0].message.content,
    tokens: usage.completion_tokens,
    seconds: (performance.now() - start) / 1000,
  };
};

/** Answers and errors as clients saw them. */
export interface Seen {
  answers: number;
  tokens: number;
  /** Requests that got no answer, by what was said. */
  readonly errors: Map<string, number>;
  /** Answers other than those alone. */
  readonly unlike: { readonly case: Case; readonly alone: string; readonly got: string }[];
  /** Seconds of each answer. */
  readonly waits: number[];
}

/** Nothing seen yet. */
export const nothing = (): Seen => ({ answers: 0, tokens: 0, errors: new Map(), unlike: [], waits: [] });

/**
 * So many clients that each ask one thing after the other, beginning at another case, until a time (of `performance.now`) or a signal. `alone`: what is answered to each case when
 * nothing else runs.
 */
export const runClients = async (
  port: number,
  cases: readonly Case[],
  alone: readonly string[],
  {
    clients,
    until,
    seen,
    signal,
  }: { readonly clients: number; readonly until: number; readonly seen: Seen; readonly signal?: AbortSignal },
): Promise<void> => {
  const client = async (number: number): Promise<void> => {
    for (let i = number; performance.now() < until && !signal?.aborted; i++) {
      const at = i % cases.length;
      try {
        const { text, tokens, seconds } = await ask(port, cases[at]!);
        seen.answers++;
        seen.tokens += tokens;
        seen.waits.push(seconds);
        if (text !== alone[at]) seen.unlike.push({ case: cases[at]!, alone: alone[at]!, got: text });
      } catch (error) {
        if (signal?.aborted) return;
        const said = String((error as Error).message).slice(0, 200);
        seen.errors.set(said, (seen.errors.get(said) ?? 0) + 1);
        // Who is refused tries again a little later.
        await new Promise((go) => setTimeout(go, 500));
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
};
