/** How typical a picture is, in the words of `predict`; undefined if the head does not tell it. This runs in the browser, too. */
export function typicalityText(typicality: number | null, unknown: boolean): string | undefined {
  if (typicality === null) return undefined;
  const how = `typicality ${typicality.toFixed(3)}`;
  return unknown ? `unlike the training pictures (${how})` : how;
}
