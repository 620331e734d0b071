import { fp4, fp8, ggml, hqq, int2, int3, int4, int8, nf2, nf3, nf4, type QuantFormat } from '@peftjs/quant';

/** The formats of the table, by the code that makes each; GGML's K types want rows of whole 256, which the model's are not. */
export const formats: Readonly<Record<string, QuantFormat>> = {
  'int8()': int8(),
  "int8({ compute: 'int8' })": int8({ compute: 'int8' }),
  'fp8()': fp8(),
  "ggml('Q8_0')": ggml('Q8_0'),
  "ggml('Q5_0')": ggml('Q5_0'),
  "int4({ zeroPoints: 'real' })": int4({ zeroPoints: 'real' }),
  'hqq()': hqq(),
  'int4()': int4(),
  "ggml('Q4_1')": ggml('Q4_1'),
  "ggml('Q4_0')": ggml('Q4_0'),
  "ggml('IQ4_NL')": ggml('IQ4_NL'),
  "ggml('MXFP4')": ggml('MXFP4'),
  'nf4()': nf4(),
  'fp4()': fp4(),
  'hqq({ bits: 3 })': hqq({ bits: 3 }),
  'int3()': int3(),
  'nf3()': nf3(),
  'hqq({ bits: 2 })': hqq({ bits: 2 }),
  'int2()': int2(),
  'nf2()': nf2(),
};

/** Bits of GPTQ's rows, whose groups are of 32. */
export const gptqBits = [4, 3, 2] as const;

/** The code of such a row. */
export const gptqName = (bits: number): string => `quantizeByGptq({ bits: ${bits} })`;
