import { type Chat, type Files, fileAt, loadChat, type Tokenizer } from '@peftjs/io';
import { isPeftError, PeftError } from '@peftjs/tensor';

/** The file of a chat template beside a model or an adapter. */
export const templateFile = 'chat_template.jinja';

/** How conversations are written for a model that has no template of its own: a line for each turn, which the end of text ends where it is the assistant's. */
const plainTemplate = `{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
Assistant:{% generation %} {{ message.content }}{{ eos_token }}{% endgeneration %}
{% else -%}
{{ message.role | capitalize }}: {{ message.content }}
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%}
`;

/** Conversations of a model, and the template where it is not the model's own. */
export interface Conversation {
  readonly chat: Chat;
  /** To be kept beside the adapter; null for the model's own. */
  readonly template: string | null;
}

const hasNone = (error: unknown): boolean =>
  isPeftError(error) && error.code === 'bad-tokenizer' && /no chat template/.test(error.message);

/** The conversations of a model: by the template that is given, the model's own, or a plain one. Throws as `loadChat`, and `file-missing`. */
export const conversation = async (files: Files, tokenizer: Tokenizer, file?: string): Promise<Conversation> => {
  if (file !== undefined) {
    const at = await fileAt(file);
    const bytes = await at.files.read(at.path).catch((cause: Error) => {
      throw new PeftError('file-missing', `${file}: the chat template can't be read: ${cause.message}`, { cause });
    });
    const template = new TextDecoder().decode(bytes);
    return { chat: await loadChat(files, { tokenizer, template }), template };
  }
  try {
    return { chat: await loadChat(files, { tokenizer }), template: null };
  } catch (error) {
    if (!hasNone(error)) throw error;
    return { chat: await loadChat(files, { tokenizer, template: plainTemplate }), template: plainTemplate };
  }
};
