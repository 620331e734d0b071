import * as z from 'zod';
import { runSchema } from './schema.ts';

type Json = Readonly<Record<string, unknown>>;

const optionsIn = (schema: Json): readonly Json[] =>
  (schema['oneOf'] ?? schema['anyOf'] ?? [schema]) as readonly Json[];

const nameIn = (schema: Json): Json => ((schema['properties'] as Json | undefined)?.['name'] ?? {}) as Json;

/** The names that may stand in place of an object. */
const namesIn = (schema: Json): readonly unknown[] =>
  optionsIn(schema).flatMap((one) => (nameIn(one)['enum'] as unknown[] | undefined) ?? nameIn(one)['const'] ?? []);

/** An object whose name has a default, so that it may be left out. */
const nameless = (schema: Json): Json => {
  const required = ((schema['required'] ?? []) as string[]).filter((name) => name !== 'name');
  return { ...schema, required };
};

/** A thing that is a name, or an object with one. */
const named = ({ default: fallback, description, ...schema }: Json): Json => ({
  ...(description !== undefined && { description }),
  anyOf: [
    { enum: namesIn(schema) },
    ...optionsIn(schema).map((one) =>
      nameIn(one)['const'] === (fallback as Json | undefined)?.['name'] ? nameless(one) : one,
    ),
  ],
});

/** Data, which is a file, a list of files, or an object. */
const dataSchema = (schema: Json): Json => {
  const properties = schema['properties'] as Readonly<Record<string, Json>>;
  const { description, ...files } = properties['train']!;
  const one = { type: 'string' };
  const train = { ...(description !== undefined && { description }), anyOf: [one, files] };
  return { anyOf: [one, files, { ...schema, properties: { ...properties, train } }] };
};

/** The JSON Schema of `run.yaml`, by which editors complete and check it. */
export const runJsonSchema = (): Json => {
  const made = z.toJSONSchema(runSchema, { io: 'input', unrepresentable: 'any' }) as Json;
  const { data, task, objective, method, optimizer, schedule, ...others } = made['properties'] as Readonly<
    Record<string, Json>
  >;
  const properties = {
    ...others,
    data: dataSchema(data!),
    task: named(task!),
    objective: named(objective!),
    method: named(method!),
    optimizer: named(optimizer!),
    schedule: named(schedule!),
  };
  return { ...made, $id: 'https://unpkg.com/@peftjs/cli/run.schema.json', title: 'A run of peftjs', properties };
};
