import { neighboursToCheck } from '../../check/check-data.js';
import { findDuplicates } from '../../check/duplicates.js';
import { type Finding, type Issue, ISSUE_MEANINGS, ISSUES } from '../../check/finding.js';
import { findLabelErrors } from '../../check/label-errors.js';
import type { Neighbours } from '../../check/neighbours.js';
import { findOddPictures, findOutliers } from '../../check/pictures.js';
import type { StoredPicture } from '../../store/dataset-rows.js';
import { sentence } from '../../util/format.js';
import { grouped } from '../../util/grouped.js';
import { GROWTH } from '../learn/classifier.js';
import type { Material } from '../learn/material.js';
import type { FindingQueue, FindingsAnswer, Queue } from '../protocol.js';

type Content = Omit<Queue, 'name' | 'version'>;

/** What check-data finds in the pictures as they are labelled now. */
export class FindingQueues {
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
    const checked = await this.checked(signal);
    if (name === 'odd') return oddQueue(checked, count);
    if (name === 'duplicates') return duplicateQueue(checked, count);
    return doubtfulQueue(checked, await this.doubtful(checked, signal), count);
  }

  /**
   * What is in all three queues.
   * @throws the signal's reason, once it aborts
   */
  async all(signal: AbortSignal): Promise<FindingsAnswer> {
    const checked = await this.checked(signal);
    const sets = openSets(checked);
    const [duplicates, odd] = [sets.flatMap(({ found }) => found.flat()), oddFindings(checked)];
    const { open: doubtful } = await this.doubtful(checked, signal);
    const placed = grouped([...duplicates, ...doubtful, ...odd], ({ finding }) => finding.issue);
    return {
      findings: ISSUES.flatMap((issue) => {
        const found = placed.get(issue);
        if (!found) return [];
        return {
          issue,
          pictures: found.map(({ picture }) => picture),
          details: found.map(({ finding: { detail } }) => detail),
        };
      }),
      left: {
        doubtful: doubtful.length,
        duplicates: sumOf(sets),
        odd: new Set(odd.map(({ picture }) => picture)).size,
      },
    };
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

  private async checked(signal: AbortSignal): Promise<Checked> {
    return new Checked(this.material, await this.prepare({ signal }));
  }

  /** The labels that are probably wrong and not confirmed, the clearest first. */
  private async doubtful(
    checked: Checked,
    signal: AbortSignal,
  ): Promise<{ open: Placed[]; notice?: string | undefined }> {
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
    return { open, notice };
  }
}

function doubtfulQueue(
  checked: Checked,
  { open, notice }: { open: readonly Placed[]; notice?: string | undefined },
  count: number,
): Content {
  const { multilabel } = checked.material;
  const groups = grouped(open.slice(0, count), ({ finding }) =>
    multilabel ? '' : JSON.stringify([checked.row(finding.path).label, finding.suggestedLabel]),
  );
  return {
    left: open.length,
    groups: [...groups.values()].map((members) => {
      const [{ finding }] = members as [Placed];
      const { label } = checked.row(finding.path);
      return {
        title: multilabel
          ? 'Labels are probably missing, or too many'
          : `Labelled ${label!}, probably ${finding.suggestedLabel!}`,
        suggestion: multilabel ? undefined : finding.suggestedLabel,
        pictures: members.map(({ picture }) => picture),
        reasons: members.map(({ finding: { detail } }) => detail),
      };
    }),
    empty: open.length > 0 ? undefined : (notice ?? 'No label looks wrong.'),
  };
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

/** A set of pictures that are one, and what is found in each. */
interface DuplicateSet {
  members: readonly number[];
  found: readonly Placed[][];
}

/** A set is settled once all of it is confirmed. */
function openSets(checked: Checked): DuplicateSet[] {
  const { material, rows, pictures, neighbours } = checked;
  const { sets, findings } = findDuplicates({ rows }, neighbours);
  const ofPicture = grouped(checked.placed(findings), ({ picture }) => picture);
  const members = grouped(rows.keys(), (row) => sets[row]!);
  const isSettled = (row: number) => material.value(pictures[row]!).confirmed.includes('duplicates');
  return [...members.values()]
    .filter((set) => set.length > 1 && !set.every(isSettled))
    .map((set) => ({ members: set, found: set.map((row) => ofPicture.get(pictures[row]!) ?? []) }));
}

function sumOf(sets: readonly DuplicateSet[]): number {
  return sets.reduce((sum, { members }) => sum + members.length, 0);
}

/** Sets of one picture, the most serious first. */
function duplicateQueue(checked: Checked, count: number): Content {
  const { rows, pictures } = checked;
  const open = openSets(checked);
  const described = open.map(({ members, found }) => {
    const issues = new Set(found.flat().map(({ finding }) => finding.issue));
    return {
      rank: DUPLICATES.findIndex(([issue]) => issues.has(issue)),
      title: titleOfSet(
        issues,
        members.map((row) => rows[row]!.split),
      ),
      pictures: members.map((row) => pictures[row]!),
      reasons: found.map((list) => list.map(({ finding: { detail } }) => detail).join('; ')),
    };
  });
  let left = count;
  const groups = described
    .sort((a, b) => a.rank - b.rank)
    .filter((group) => left > 0 && (left -= group.pictures.length) > -Infinity)
    .map(({ title, pictures: ids, reasons }) => ({ title, suggestion: undefined, pictures: ids, reasons }));
  return {
    left: sumOf(open),
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

/** The odd pictures that are not confirmed, the most serious first. */
function oddFindings(checked: Checked): Placed[] {
  const { material, rows, neighbours } = checked;
  const found = checked.placed([...findOddPictures({ rows }), ...findOutliers({ rows }, neighbours)]);
  material.problems.forEach((problem, picture) => {
    if (problem === null || material.value(picture).leftOut) return;
    const path = material.paths[picture]!;
    found.push({ picture, finding: { issue: 'unreadable', path, score: 1, detail: problem } });
  });
  return found
    .filter(({ picture }) => !material.value(picture).confirmed.includes('odd'))
    .sort((a, b) => ODD.indexOf(a.finding.issue) - ODD.indexOf(b.finding.issue) || b.finding.score - a.finding.score);
}

/** A group for each kind. */
function oddQueue(checked: Checked, count: number): Content {
  const open = oddFindings(checked);
  const shown = open.slice(0, count);
  const groups = [...grouped(shown, ({ finding }) => finding.issue)].map(([issue, members]) => ({
    title: sentence(`${issue}: ${ISSUE_MEANINGS[issue]}`),
    suggestion: undefined,
    pictures: members.map(({ picture }) => picture),
    reasons: members.map(({ finding: { detail } }) => detail),
  }));
  const left = new Set(open.map(({ picture }) => picture)).size;
  return { left, groups, empty: groups.length > 0 ? undefined : 'No picture is odd.' };
}
