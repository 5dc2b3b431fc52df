/**
 * What has to stay together: rows that share an id or a group, directly or through others, so that neither equal
 * pictures nor pictures of one subject end up on both sides of a split.
 * @param ids each row's id, such as the sha256 of its picture; [M]
 * @param groups each row's group, such as the subject of its picture; undefined where it has none; [M]
 * @returns the name of each row's set; the same name means the same set, and it does not depend on the order of rows; [M]
 */
export function joinGroups(
  ids: readonly string[],
  groups: readonly (string | undefined)[],
): readonly string[] {
  if (groups.every((group) => group === undefined)) return ids;
  const parents = Int32Array.from(ids, (_, row) => row);
  const rootOf = (row: number): number => {
    let root = row;
    for (let up = parents[root] ?? root; up !== root; up = parents[root] ?? root) {
      // Halving the path keeps later searches short.
      root = parents[root] = parents[up] ?? up;
    }
    return root;
  };
  for (const names of [ids, groups]) {
    const first = new Map<string, number>();
    names.forEach((name, row) => {
      if (name === undefined) return;
      const known = first.get(name);
      if (known === undefined) first.set(name, row);
      else parents[rootOf(row)] = rootOf(known);
    });
  }
  const nameOf = new Map<number, string>();
  ids.forEach((id, row) => {
    const root = rootOf(row);
    const name = nameOf.get(root);
    if (name === undefined || id < name) nameOf.set(root, id);
  });
  return ids.map((id, row) => nameOf.get(rootOf(row)) ?? id);
}
