import { likeness } from '../image/fingerprint.js';
import type { DatasetEmbeddings, StoredPicture } from '../store/dataset-rows.js';
import { grouped } from '../util/grouped.js';
import { DisjointSets } from '../util/math.js';
import type { Finding } from './finding.js';
import type { Neighbours } from './neighbours.js';

/**
 * Pairs with features this similar are compared by fingerprint. Of 20 copies at half to 1.3 times the size and JPEG
 * qualities of 50 to 90, the least similar had 0.756; so have thousands of distinct photographs of Imagenette, up to 0.940.
 */
const CANDIDATE = 0.7;

/**
 * Fingerprints this similar are of the same picture. Of 300 copies of photographs, at 0.3 to 1.3 times the size, JPEG
 * qualities of 50 and 90 and half of them mirrored, the least similar had 0.9966; of all pairs of 1200 distinct photographs
 * of Imagenette, the most similar 0.938.
 */
const SAME_FINGERPRINT = 0.96;

/** Without a fingerprint, features this similar: above every pair of distinct photographs. */
const SAME_FEATURES = 0.95;

/** Two rows that are the same picture. */
interface Pair {
  a: number;
  b: number;
  score: number;
}

interface Duplicates {
  findings: Finding[];
  /** Each row's set of duplicates and near duplicates, named by its first row; [M]. */
  sets: Int32Array;
}

/**
 * Pictures that are there more than once: the same file (sha256), or nearly the same picture by the cosine of the features
 * and the similarity of the fingerprints. In each set, the first picture of the training split, or else the first picture,
 * counts as the original, and the others are found. If the original is in train, a copy in another split is a leak.
 * @param neighbours of the rows that are the first with their digest
 */
export function findDuplicates({ rows }: Pick<DatasetEmbeddings, 'rows'>, neighbours: Neighbours): Duplicates {
  const joined = new DisjointSets(rows.length);
  const scores = new Map<number, number>();
  const first = new Map<string, number>();
  rows.forEach(({ digest }, row) => {
    const original = first.get(digest);
    if (original === undefined) first.set(digest, row);
    else joined.join(original, row);
  });
  for (const { a, b, score } of nearPairs(rows, neighbours)) {
    joined.join(a, b);
    for (const row of [a, b]) scores.set(row, Math.max(score, scores.get(row) ?? 0));
  }
  const sets = Int32Array.from(rows, (_, row) => joined.rootOf(row));
  const members = grouped(sets.keys(), (row) => sets[row]!);
  return { sets, findings: [...members.values()].flatMap((set) => findingsOf(rows, set, scores)) };
}

function* nearPairs(pictures: readonly StoredPicture[], { k, rows, similarities }: Neighbours): Generator<Pair> {
  for (let at = 0; at < rows.length; at++) {
    const [a, b, cosine] = [Math.floor(at / k), rows[at]!, similarities[at]!];
    if (b < 0 || cosine < CANDIDATE) continue;
    const [one, other] = [pictures[a]!.fingerprint, pictures[b]!.fingerprint];
    const score = one && other ? likeness(one, other) : cosine;
    if (score >= (one && other ? SAME_FINGERPRINT : SAME_FEATURES)) yield { a, b, score };
  }
}

function findingsOf(
  rows: readonly StoredPicture[],
  set: readonly number[],
  scores: ReadonlyMap<number, number>,
): Finding[] {
  if (set.length < 2) return [];
  const original = set.find((row) => rows[row]?.split === 'train') ?? set[0] ?? 0;
  const source = rows[original];
  const labels = new Set(set.flatMap((row) => labelsOf(rows[row]) ?? []));
  const digests = new Set(set.map((row) => rows[row]?.digest));
  return set.flatMap((row): Finding[] => {
    const picture = rows[row];
    if (!picture || !source) return [];
    const { path, split, digest } = picture;
    const found: Finding[] = [];
    if (labels.size > 1) {
      const other = rows[set.find((each) => labelsOf(rows[each]) !== labelsOf(picture)) ?? row];
      const detail = `the same picture as ${[...labels].sort().join(' and as ')}`;
      found.push({ issue: 'conflicting labels', path, score: 1, detail, related: other?.path });
    }
    if (row === original) return found;
    const isExact = digest === source.digest || digests.size === 1;
    const score = isExact ? 1 : (scores.get(row) ?? 1);
    const related = source.path;
    const how = isExact ? 'the same file' : `the same picture (similarity ${score.toFixed(2)})`;
    const isLeak = source.split === 'train' && split !== undefined && split !== 'train';
    if (isLeak) found.push({ issue: 'leak', path, score, detail: `in ${split}, and ${how} in train`, related });
    found.push({ issue: isExact ? 'exact duplicate' : 'near duplicate', path, score, detail: how, related });
    return found;
  });
}

/** The label or the list of labels; undefined if there is neither. */
function labelsOf(picture: StoredPicture | undefined): string | undefined {
  return picture?.labels ? `[${picture.labels.join(', ')}]` : picture?.label;
}
