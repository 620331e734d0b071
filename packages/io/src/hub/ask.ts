import { unread } from '../files/file-errors.ts';
import { isNode } from '../files/from-node.ts';
import { again, answerOf, networkReason, passing, rest, tries } from '../files/url-request.ts';
import type { Hub } from './settings.ts';

/** An answer of the hub, after its redirects. */
export interface Answer {
  readonly response: Response;
  /** A header of the first of the hub's own answers that has it: where the bytes lie elsewhere, that server knows nothing of them. */
  header(name: string): string | null;
}

/** A request to the hub. */
export interface Question {
  /** Of the hub's address, with a slash in front. */
  readonly path: string;
  readonly method?: 'GET' | 'HEAD' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

const mostRedirects = 10;

/** Makes one request. The token is shown to the hub alone. A HEAD stops where the hub sends elsewhere, as it says itself all that is asked. */
const once = async (
  { endpoint, token, send }: Hub,
  { path, method = 'GET', headers = {}, body }: Question,
): Promise<Answer> => {
  const { origin } = new URL(endpoint);
  const own: Headers[] = [];
  const header = (name: string): string | null => own.find((one) => one.has(name))?.get(name) ?? null;
  let url = new URL(endpoint + path);
  for (let hop = 0; hop <= mostRedirects; hop++) {
    const isHub = url.origin === origin;
    const response = await send(url.href, {
      method,
      ...(body !== undefined && { body }),
      // A page sees nothing of a redirect, and its browser keeps the token from others.
      redirect: isNode() ? 'manual' : 'follow',
      headers: {
        'accept-encoding': 'identity',
        ...headers,
        ...(isHub && token !== null && { authorization: `Bearer ${token}` }),
      },
    });
    if (isHub) own.push(response.headers);
    const location = response.status >= 300 && response.status < 400 ? response.headers.get('location') : null;
    const target = location === null ? null : new URL(location, url);
    if (!target || (method === 'HEAD' && target.origin !== origin)) return { response, header };
    await response.body?.cancel();
    url = target;
  }
  throw new Error(`it is sent on more than ${mostRedirects} times`);
};

/** Asks the hub, again where the network or the hub fails for a moment, or it asks to wait. Throws `read-failed` where no answer comes; gives the ones that refuse. */
export const ask = async (hub: Hub, who: string, question: Question): Promise<Answer> => {
  for (let attempt = 1; ; attempt++) {
    const answer = await once(hub, question).catch((cause: unknown) => {
      if (attempt >= tries) throw unread(who, networkReason(cause));
      return null;
    });
    if (answer && !passing.includes(answer.response.status)) return answer;
    await answer?.response.body?.cancel();
    if (answer && !again(attempt, answer.response)) throw unread(who, answerOf(answer.response));
    await rest(attempt, answer?.response);
  }
};
