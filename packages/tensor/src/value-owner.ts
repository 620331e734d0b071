import { PeftError } from './error.ts';
import type { Variable, VariableNode } from './graph.ts';
import type { Program } from './program.ts';

/** The memory of one executor of whose values are where. */
export interface ValueOwner {
  /** Notes that variables have taken other values here than their initial ones. */
  changed(variables: Iterable<Variable>): void;
  /** Notes that the values of variables are gone from here on purpose: a later use starts from the initial ones. */
  released(variables: Iterable<Variable>): void;
  /**
   * Throws `bad-program` for variables that have been changed, but not here: what is here are initial values, and to go on from those would
   * give a wrong result. `who` is what was asked for.
   */
  check(who: string, variables: Iterable<Variable>): void;
}

/** The executors on which a variable has other values than its initial ones; those that are closed count, for what they had is lost. */
const changers = new WeakMap<VariableNode, Map<ValueOwner, string>>();

const few = (names: readonly string[]): string =>
  names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');

/**
 * Makes the owner of an executor's values. An executor asks `check` before it reads variables, for a program or for its caller, and says
 * `changed` when an update or a write has been done.
 */
export const valueOwner = (name: string): ValueOwner => {
  const owner: ValueOwner = {
    changed: (variables) => {
      for (const { node } of variables)
        (changers.get(node) ?? changers.set(node, new Map()).get(node)!).set(owner, name);
    },
    released: (variables) => {
      for (const { node } of variables) {
        const by = changers.get(node);
        if (by?.delete(owner) && by.size === 0) changers.delete(node);
      }
    },
    check: (who, variables) => {
      const elsewhere = [...variables].filter(({ node }) => {
        const by = changers.get(node);
        return by !== undefined && !by.has(owner);
      });
      if (elsewhere.length === 0) return;
      const places = new Set(elsewhere.flatMap(({ node }) => [...changers.get(node)!.values()]));
      const other = [...places].map((place) => (place === name ? `another ${name} executor` : `the ${place} executor`));
      throw new PeftError(
        'bad-program',
        `${name}: ${who} needs the values of ${few(elsewhere.map(({ node }) => node.name))}, which were trained or written on ${other.join(' and ')}; this executor has the initial ones only. Use the executor that has them, or bring them here: \`await here.write(variable, await there.read(variable))\``,
      );
    },
  };
  return owner;
};

/** The variables of a program whose values it reads; others are only written. */
export const readVariables = ({ variables, isUsed }: Pick<Program, 'variables' | 'isUsed'>): readonly Variable[] =>
  variables.filter(({ node }) => isUsed(node, 0));
