/** A text as an SQL literal. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** `column IN (…)` over texts or numbers. */
export function isIn(column: string, values: readonly (string | number)[]): string {
  return `${column} IN (${values.map((v) => (typeof v === 'string' ? quote(v) : String(v))).join(', ')})`;
}
