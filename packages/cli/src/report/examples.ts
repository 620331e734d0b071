import { escapeHtml } from './html.ts';

/** An example of a class, and what a model took it for. */
export interface PredictedExample {
  /** Its text, or its picture as a `data:` URL. */
  readonly shown: { readonly text: string } | { readonly image: string };
  readonly label: string;
  readonly predicted: string;
  /** The probability that the model gives what it took it for. */
  readonly probability: number;
}

/** The style of such examples. */
export const exampleStyle = `
.examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .8rem; } .examples.long { grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); }
figure { background: var(--card); border-radius: .6rem; padding: .8rem; margin: 0; border-left: .25rem solid var(--accent); } figure.wrong { border-color: #d9822b; } figure img { width: 100%; image-rendering: pixelated; border-radius: .3rem; display: block; }
figure p { margin: 0; font: .85rem/1.4 Georgia, serif; overflow-wrap: anywhere; } figcaption { font-size: .85rem; margin-top: .4rem; } figcaption small { display: block; color: var(--soft); }`;

const exampleOf = ({ shown, label, predicted, probability }: PredictedExample): string => {
  const seen =
    'image' in shown
      ? `<img alt="${escapeHtml(label)}" src="${escapeHtml(shown.image)}">`
      : `<p>${escapeHtml(shown.text)}</p>`;
  const isRight = label === predicted;
  const verdict = isRight ? 'right' : `wrong: it is ${label}`;
  return `<figure${isRight ? '' : ' class="wrong"'}>${seen}<figcaption>${escapeHtml(predicted)} (${Math.round(100 * probability)} %)<small>${escapeHtml(verdict)}</small></figcaption></figure>`;
};

/** Examples side by side, under a line that tells which they are. */
export const examplesOf = (examples: readonly PredictedExample[], note: string): string =>
  `<h2>Held-out examples, and what they were taken for</h2>\n<p class="soft">${escapeHtml(note)}</p>\n<div class="examples${examples.some(({ shown }) => 'text' in shown) ? ' long' : ''}">${examples.map(exampleOf).join('\n')}</div>\n`;
