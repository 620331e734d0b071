import { PeftError } from '@peftjs/tensor';
import { joinPath } from '../files/file-path.ts';
import { answerOf } from '../files/url-request.ts';
import { quote } from '../report.ts';
import type { Answer } from './ask.ts';
import type { HubPlace } from './hub-place.ts';
import type { Hub } from './settings.ts';

const tokensPage = 'huggingface.co/settings/tokens';

/** The error of an answer that refuses, by the codes that the hub puts into `X-Error-Code`. The token stands in none. `file`: '' for the repository. */
export const refusal = (hub: Hub, place: HubPlace, file: string, { response, header }: Answer): PeftError => {
  void response.body?.cancel();
  const { status } = response;
  const { kind, repo, revision, name } = place;
  const code = header('x-error-code') ?? '';
  const said = (header('x-error-message') ?? '').replaceAll(hub.token ?? '\0', '…');
  const who = joinPath(name, file);
  const page = `${hub.endpoint}/${kind === 'datasets' ? 'datasets/' : ''}${repo}`;
  const thing = kind === 'datasets' ? 'dataset' : 'model';
  const other = kind === 'datasets' ? `hub:${repo}, if it is a model` : `hub:datasets/${repo}, if it is a dataset`;
  const access = hub.token === null ? 'no token was given' : 'the token does not open it';
  const because = said === '' ? '' : `: ${quote(said)}`;
  const refused = (text: string): PeftError => new PeftError('file-missing', `${who}: ${text}`);

  if (code === 'GatedRepo')
    return refused(
      `the ${thing} is gated, and ${access}. Accept its conditions at ${page}, and give a token of that account: HF_TOKEN, or \`token\`.`,
    );
  if (code === 'RevisionNotFound')
    return refused(`there is no revision ${quote(revision)}. Branches and commits are at ${page}/tree/main.`);
  if (code === 'EntryNotFound')
    return refused(`there is no such file in it. Those that it has are at ${page}/tree/main.`);
  if (
    status === 401 &&
    /invalid (credentials|username)|token/i.test(said) &&
    hub.token !== null &&
    code !== 'RepoNotFound'
  )
    return refused(`${hub.endpoint} does not know the token${because}. Make a new one at ${tokensPage}.`);
  // The hub hides that there is a private one, so it answers 401 for what there is not, too.
  if (code === 'RepoNotFound' || status === 401 || (status === 404 && file === ''))
    return refused(
      `${hub.endpoint} has no such ${thing}, or it is private and ${access}. Check the name; write ${other}; for a private one give a token: HF_TOKEN, or \`token\`.`,
    );
  if (status === 403)
    return refused(
      `${hub.endpoint} refuses it${because}, and ${access}. See ${page}; a token with fine-grained permissions needs that of reading this repository.`,
    );
  return refused(`cannot be opened: ${answerOf(response)}${because}. See ${page}.`);
};
