import { defaultFolds, joinGroups, NEVER_HELD, stratifiedFolds } from '../../src/head/split.js';

function rows(sizes: readonly number[]) {
  const classes = Int32Array.from(sizes.flatMap((size, c) => Array.from({ length: size }, () => c)));
  const count = sizes.length;
  return { classes, count, strata: { of: classes, count }, groups: [...classes].map((c, i) => `${c}-${i}`) };
}

/** How many rows of each class each fold has. */
function table(foldOf: Int32Array, classes: Int32Array, folds: number, count: number): number[][] {
  const counts = Array.from({ length: folds }, () => Array.from({ length: count }, () => 0));
  foldOf.forEach((fold, row) => {
    const ofFold = counts[fold];
    const c = classes[row] ?? 0;
    if (ofFold) ofFold[c] = (ofFold[c] ?? 0) + 1;
  });
  return counts;
}

describe('folds', () => {
  it('have the same part of every class, and each row is in one', () => {
    const data = rows([50, 23, 10]);
    const { foldOf, folds } = stratifiedFolds(data);
    expect(folds).toBe(5);
    const counts = table(foldOf, data.classes, 5, 3);
    expect(counts.map(([first]) => first)).toEqual([10, 10, 10, 10, 10]);
    expect(counts.map((fold) => fold[1]).sort()).toEqual([4, 4, 5, 5, 5]);
    expect(counts.map((fold) => fold[2])).toEqual([2, 2, 2, 2, 2]);
  });

  it('go by the names of the groups and not by the order of the rows', () => {
    const { classes, count, strata, groups } = rows([20, 13]);
    const forward = stratifiedFolds({ strata, groups });
    const backward = stratifiedFolds({
      strata: { of: classes.toReversed(), count },
      groups: groups.toReversed(),
    });
    expect(backward.foldOf.toReversed()).toEqual(forward.foldOf);
  });

  it('are never straddled by a group, also where it spans classes', () => {
    const { classes, count, strata } = rows([30, 30]);
    const groups = [...classes].map((_, i) => `subject-${i % 11}`);
    const { foldOf, folds } = stratifiedFolds({ strata, groups });
    expect(folds).toBe(5);
    expect(new Set(groups.map((group, i) => `${group} ${foldOf[i] ?? NaN}`)).size).toBe(11);
    for (const fold of table(foldOf, classes, folds, count)) expect(Math.min(...fold)).toBeGreaterThanOrEqual(4);
  });

  it('are fewer where the smallest class has few groups, but not fewer than three', () => {
    const foldsFor = ({ strata, groups }: Pick<ReturnType<typeof rows>, 'strata' | 'groups'>) =>
      defaultFolds(strata, groups);
    expect([9, 5, 4, 3, 2].map((size) => foldsFor(rows([20, size])))).toEqual([5, 5, 4, 3, 3]);
    expect(foldsFor({ ...rows([20, 8]), groups: Array.from({ length: 28 }, (_, i) => `g${i % 4}`) })).toBe(4);
  });

  it('leave of every class something to learn from', () => {
    for (const small of [1, 2, 3]) {
      const data = rows([20, small]);
      const { foldOf, folds } = stratifiedFolds({ ...data, folds: 5 });
      for (let fold = 0; fold < folds; fold++) {
        const learnt = data.classes.filter((_, row) => foldOf[row] !== fold);
        expect(new Set(learnt)).toEqual(new Set([0, 1]));
      }
    }
  });

  it('never hold out a class that is in one group only', () => {
    const { classes, strata } = rows([20, 6]);
    const groups = [...classes].map((c, i) => (c === 1 ? 'one' : `${i}`));
    const { foldOf } = stratifiedFolds({ strata, groups });
    expect([...foldOf.subarray(20)]).toEqual([-1, -1, -1, -1, -1, -1].map(() => NEVER_HELD));
    expect(foldOf.subarray(0, 20).includes(NEVER_HELD)).toBe(false);
  });

  it('take in no row without a class, and are none where there is nothing to hold out', () => {
    const data = rows([10, 10]);
    const { foldOf } = stratifiedFolds({ ...data, strata: { of: data.classes.with(3, -1), count: 2 } });
    expect(foldOf[3]).toBe(NEVER_HELD);
    expect(stratifiedFolds({ ...data, groups: data.groups.map(() => 'all') }).folds).toBe(0);
  });
});

describe('groups', () => {
  it('are the ids where no row has a group', () => {
    const ids = ['b', 'a', 'b'];
    expect(joinGroups(ids, [undefined, undefined, undefined])).toEqual(ids);
  });

  it('join rows of one subject with rows of equal content, through others as well', () => {
    const ids = ['x', 'y', 'x', 'z', 'w', 'v'];
    const groups = ['s', 't', 't', undefined, undefined, 's'];
    const joined = joinGroups(ids, groups);
    // Rows 0 and 2 are equal, 1 and 2 are of one subject, 0 and 5 of another: they all stay together.
    expect(joined).toEqual(['v', 'v', 'v', 'z', 'w', 'v']);
    expect(joinGroups(ids.toReversed(), groups.toReversed())).toEqual(joined.toReversed());
  });
});
