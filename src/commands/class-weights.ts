import { readFile } from 'node:fs/promises';
import { messageOf, UsageError } from '../errors.js';
import type { ClassWeights } from '../head/index.js';

/**
 * What --class-weights says: `none`, `balanced`, JSON such as {"ants": 2}, or the path of a file that holds it.
 * @throws {UsageError} where it is none of these
 */
export async function readClassWeights(given: string): Promise<ClassWeights> {
  if (given === 'none' || given === 'balanced') return given;
  const isInline = given.trimStart().startsWith('{');
  const text = isInline ? given : await textOf(given);
  const where = isInline ? '--class-weights' : given;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(
      `${where} is no JSON: ${messageOf(error)}. Write for example {"ants": 2, "bees": 1}.`,
    );
  }
  if (isWeights(value)) return value;
  throw new UsageError(`${where} holds ${JSON.stringify(value)}; write for example {"ants": 2, "bees": 1}.`);
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(
      `--class-weights is ${path}: neither none, balanced, JSON nor a readable file (${messageOf(error)}).`,
    );
  }
}

function isWeights(value: unknown): value is Record<string, number> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((weight) => typeof weight === 'number')
  );
}
