/** Text as it stands in SVG. */
export const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

/** A picture on white; the title is for those who can't see it. */
export const svg = (title: string, width: number, height: number, body: string): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
  `font-family="system-ui, sans-serif" font-size="12" fill="#222"><title>${escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>${body}</svg>\n`;

/** Ours, and everybody else. */
export const colourOf = (stack: string): string =>
  ({ 'ours-cpu': '#3f6bdd', 'ours-webgpu': '#7c4dbd', torch: '#d9822b' })[stack] ?? '#9aa3b2';
