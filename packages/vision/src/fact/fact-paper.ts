import type { Paper } from '@peftjs/core';

/** Where both forms were published. */
export const factPaper: Paper = {
  authors: 'Jie & Deng',
  year: 2022,
  title: 'FacT: Factor-Tuning for Lightweight Adaptation on Vision Transformer',
  url: 'https://arxiv.org/abs/2212.03145',
};
