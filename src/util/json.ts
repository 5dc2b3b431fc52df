/** A value that JSON can hold. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

/** A value as JSON holds it: without undefined, NaN as null, and matrices as rows. */
export function toJson<T extends object>(value: T): { [K in keyof T]: JsonValue } {
  return JSON.parse(JSON.stringify(value)) as { [K in keyof T]: JsonValue };
}

/** Whether a value is an object of JSON, and no array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
