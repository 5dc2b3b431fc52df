import { neighboursToCheck } from '../../check/check-data.js';
import { findDuplicates } from '../../check/duplicates.js';
import { type Finding, type Issue, ISSUE_MEANINGS } from '../../check/finding.js';
import { findLabelErrors } from '../../check/label-errors.js';
import type { Neighbours } from '../../check/neighbours.js';
import { findOddPictures, findOutliers } from '../../check/pictures.js';
import type { StoredPicture } from '../../store/dataset-rows.js';
import { sentence } from '../../util/format.js';
import { GROWTH } from '../learn/classifier.js';
import type { Material } from '../learn/material.js';
import type { Queue, QueueName } from '../protocol.js';

type FindingQueue = Extract<QueueName, 'doubtful' | 'duplicates' | 'odd'>;

type Content = Omit<Queue, 'name' | 'version'>;

/** What check-data finds in the pictures as they are labelled now. */
export class Findings {
  private neighbours: { size: number; found: Promise<Neighbours> } | undefined;
  private labelErrors: { seq: number; found: Awaited<ReturnType<typeof findLabelErrors>> } | undefined;
  /** λ of the heads that look for wrong labels, and how many labels it was chosen on. */
  private penalty: { l2: number | undefined; labels: number } | undefined;

  constructor(private readonly material: Material) {}

  /**
   * @param count pictures, at most
   * @throws the signal's reason, once it aborts
   */
  async queue(name: FindingQueue, count: number, signal: AbortSignal): Promise<Content> {
    const neighbours = await this.prepare({ signal });
    const checked = new Checked(this.material, neighbours);
    if (name === 'odd') return oddQueue(checked, count);
    if (name === 'duplicates') return duplicateQueue(checked, count);
    return this.doubtfulQueue(checked, count, signal);
  }

  /**
   * Finds the neighbours of all pictures that can be read, left out or not. It is done once, unless pictures are added, and whatever is
   * said of the pictures meanwhile.
   */
  async prepare(options: {
    signal?: AbortSignal | undefined;
    onProgress?: ((done: number, total: number) => void) | undefined;
  }): Promise<Neighbours> {
    const { material } = this;
    const readable = material.where((picture) => material.isReadable(picture));
    if (this.neighbours?.size !== readable.length) {
      const rows = Array.from(readable, (picture) => storedPicture(material, picture));
      const found = neighboursToCheck({ rows, source: material.source(readable) }, options);
      this.neighbours = { size: readable.length, found };
      found.catch(() => (this.neighbours = undefined));
    }
    return this.neighbours.found;
  }

  private async doubtfulQueue(checked: Checked, count: number, signal: AbortSignal): Promise<Content> {
    const { material } = this;
    const { rows, pictures, neighbours } = checked;
    if (this.labelErrors?.seq !== material.seq) {
      const { seq } = material;
      const { sets } = findDuplicates({ rows }, neighbours);
      const labels = material.labelled().length;
      const chosen = this.penalty && labels < GROWTH * this.penalty.labels ? this.penalty.l2 : undefined;
      const found = await findLabelErrors({ rows, source: material.source(pictures) }, { sets, l2: chosen, signal });
      if (chosen === undefined) this.penalty = { l2: found.l2, labels };
      this.labelErrors = { seq, found };
    }
    const { findings, notice } = this.labelErrors.found;
    const open = checked
      .placed(findings)
      .filter(({ picture }) => !material.value(picture).confirmed.includes('doubtful'))
      .sort((a, b) => b.finding.score - a.finding.score);
    const groups = new Map<string, Placed[]>();
    for (const each of open.slice(0, count)) {
      const { label } = checked.row(each.finding.path);
      const key = material.multilabel ? '' : JSON.stringify([label, each.finding.suggestedLabel]);
      groups.set(key, [...(groups.get(key) ?? []), each]);
    }
    return {
      left: open.length,
      groups: [...groups.values()].map((members) => {
        const [{ finding }] = members as [Placed];
        const { label } = checked.row(finding.path);
        return {
          title: material.multilabel
            ? 'Labels are probably missing, or too many'
            : `Labelled ${label!}, probably ${finding.suggestedLabel!}`,
          suggestion: material.multilabel ? undefined : finding.suggestedLabel,
          pictures: members.map(({ picture }) => picture),
          reasons: members.map(({ finding: { detail } }) => detail),
        };
      }),
      empty: open.length > 0 ? undefined : (notice ?? 'No label looks wrong.'),
    };
  }
}

interface Placed {
  picture: number;
  finding: Finding;
}

/** The pictures that are checked: those that can be read and are not left out. */
class Checked {
  readonly pictures: Int32Array;
  readonly rows: StoredPicture[];
  readonly neighbours: Neighbours;
  private readonly rowOf: Map<string, number>;

  constructor(
    readonly material: Material,
    all: Neighbours,
  ) {
    const readable = material.where((picture) => material.isReadable(picture));
    const kept = Uint8Array.from(readable, (picture) => (material.isUsable(picture) ? 1 : 0));
    this.pictures = readable.filter((_, row) => kept[row] === 1);
    this.rows = Array.from(this.pictures, (picture) => storedPicture(material, picture));
    this.neighbours = among(all, kept);
    this.rowOf = new Map(this.rows.map(({ path }, row) => [path, row]));
  }

  row(path: string): StoredPicture {
    return this.rows[this.rowOf.get(path)!]!;
  }

  placed(findings: readonly Finding[]): Placed[] {
    return findings.map((finding) => ({ picture: this.pictures[this.rowOf.get(finding.path)!]!, finding }));
  }
}

function storedPicture(material: Material, picture: number): StoredPicture {
  const { labels, labelled, split, group, weight } = material.value(picture);
  const names = labels.map((n) => material.classes[n]!.name);
  const fingerprint = material.fingerprints[picture]!;
  return {
    path: material.paths[picture]!,
    label: material.multilabel ? undefined : names[0],
    labels: material.multilabel && labelled ? names.sort() : undefined,
    split: split ?? undefined,
    group: group ?? undefined,
    weight: weight ?? undefined,
    digest: material.digests[picture]!,
    width: material.widths[picture]!,
    height: material.heights[picture]!,
    fingerprint: fingerprint.some((value) => value > 0) ? fingerprint : undefined,
  };
}

/** The neighbours of some of the rows among these, by new row numbers. @param kept 1 for the rows to keep; [M] */
function among({ k, rows, similarities, plain }: Neighbours, kept: Uint8Array): Neighbours {
  const numbers = new Int32Array(kept.length).fill(-1);
  let count = 0;
  kept.forEach((keep, row) => {
    if (keep) numbers[row] = count++;
  });
  if (count === kept.length) return { k, rows, similarities, plain };
  const found = {
    k,
    rows: new Int32Array(count * k).fill(-1),
    similarities: new Float32Array(count * k).fill(-Infinity),
    plain: new Float32Array(count * k),
  };
  numbers.forEach((number, row) => {
    if (number < 0) return;
    let at = number * k;
    for (let from = row * k; from < (row + 1) * k; from++) {
      const other = rows[from]! < 0 ? -1 : numbers[rows[from]!]!;
      if (other < 0) continue;
      found.rows[at] = other;
      found.similarities[at] = similarities[from]!;
      found.plain[at++] = plain[from]!;
    }
  });
  return found;
}

/** Sets of one picture, the most serious first. A set is settled once all of it is confirmed. */
function duplicateQueue(checked: Checked, count: number): Content {
  const { material, rows, pictures, neighbours } = checked;
  const { sets, findings } = findDuplicates({ rows }, neighbours);
  const ofPath = new Map<string, Finding[]>();
  for (const finding of findings) ofPath.set(finding.path, [...(ofPath.get(finding.path) ?? []), finding]);
  const members = new Map<number, number[]>();
  sets.forEach((set, row) => {
    const known = members.get(set);
    if (known) known.push(row);
    else members.set(set, [row]);
  });
  const isSettled = (row: number) => material.value(pictures[row]!).confirmed.includes('duplicates');
  const open = [...members.values()].filter((set) => set.length > 1 && !set.every(isSettled));
  const described = open.map((set) => {
    const found = set.map((row) => ofPath.get(rows[row]!.path) ?? []);
    const issues = new Set(found.flat().map(({ issue }) => issue));
    return {
      rank: DUPLICATES.findIndex(([issue]) => issues.has(issue)),
      title: titleOfSet(
        issues,
        set.map((row) => rows[row]!.split),
      ),
      pictures: set.map((row) => pictures[row]!),
      reasons: found.map((list) => list.map(({ detail }) => detail).join('; ')),
    };
  });
  let left = count;
  const groups = described
    .sort((a, b) => a.rank - b.rank)
    .filter((group) => left > 0 && (left -= group.pictures.length) > -Infinity)
    .map(({ title, pictures: ids, reasons }) => ({ title, suggestion: undefined, pictures: ids, reasons }));
  return {
    left: open.reduce((sum, set) => sum + set.length, 0),
    groups,
    empty: groups.length > 0 ? undefined : 'No picture is there twice.',
  };
}

/** The most serious first. */
const DUPLICATES: readonly (readonly [Issue, string])[] = [
  ['leak', 'The same picture in'],
  ['conflicting labels', 'The same picture with different labels'],
  ['exact duplicate', 'The same file again'],
  ['near duplicate', 'Nearly the same picture'],
];

function titleOfSet(issues: ReadonlySet<Issue>, splits: readonly (string | undefined)[]): string {
  const [issue, title] = DUPLICATES.find(([name]) => issues.has(name))!;
  if (issue !== 'leak') return title;
  return `${title} ${[...new Set(splits.map((split) => split ?? 'no split'))].join(' and ')}`;
}

const ODD: readonly Issue[] = ['unreadable', 'empty', 'outlier', 'tiny', 'grey'];

/** A group for each kind. */
function oddQueue(checked: Checked, count: number): Content {
  const { material, rows, neighbours } = checked;
  const found = checked.placed([...findOddPictures({ rows }), ...findOutliers({ rows }, neighbours)]);
  material.problems.forEach((problem, picture) => {
    if (problem === null || material.value(picture).leftOut) return;
    const path = material.paths[picture]!;
    found.push({ picture, finding: { issue: 'unreadable', path, score: 1, detail: problem } });
  });
  const open = found.filter(({ picture }) => !material.value(picture).confirmed.includes('odd'));
  const sorted = open.sort(
    (a, b) => ODD.indexOf(a.finding.issue) - ODD.indexOf(b.finding.issue) || b.finding.score - a.finding.score,
  );
  const shown = sorted.slice(0, count);
  const groups = ODD.flatMap((issue) => {
    const members = shown.filter(({ finding }) => finding.issue === issue);
    if (members.length === 0) return [];
    return {
      title: sentence(`${issue}: ${ISSUE_MEANINGS[issue]}`),
      suggestion: undefined,
      pictures: members.map(({ picture }) => picture),
      reasons: members.map(({ finding: { detail } }) => detail),
    };
  });
  const left = new Set(open.map(({ picture }) => picture)).size;
  return { left, groups, empty: groups.length > 0 ? undefined : 'No picture is odd.' };
}
