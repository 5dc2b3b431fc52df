import { labelsIn, type EmbeddingRow } from '../embeddings/index.js';
import { splitNamed, type Split } from '../images/index.js';

/** What the rows say of their pictures, a column each: for a million rows, objects would take several times as much. */
export class Columns {
  private readonly paths: string[] = [];
  private readonly labels: string[] = [];
  private readonly labelSets: (readonly string[])[] = [];
  private readonly splits: (Split | undefined)[] = [];
  private readonly contents: string[] = [];
  private readonly groups: (string | undefined)[] = [];
  private readonly weights: number[] = [];
  /** One copy of each text that many rows have. */
  private readonly texts = new Map<string, string>();
  private readonly lists = new Map<string, readonly string[]>();
  private readonly kinds = { label: 0, labels: 0 };

  /** @returns false for a row without a label or a list of labels, which is left out */
  add({ path, label, labels, split, sha256, group, weight }: EmbeddingRow): boolean {
    if (label === null && labels === null) return false;
    this.kinds[label === null ? 'labels' : 'label']++;
    this.paths.push(path);
    this.labels.push(this.shared(label ?? ''));
    this.labelSets.push(this.listOf(labels));
    this.splits.push(split === null ? undefined : splitNamed(split));
    this.contents.push(sha256 ?? path);
    this.groups.push(group === null ? undefined : this.shared(group));
    this.weights.push(weight ?? 1);
    return true;
  }

  /** How many rows have one label, and how many a list of them. */
  get counts(): Readonly<{ label: number; labels: number }> {
    return this.kinds;
  }

  /** The columns in the order of the paths. */
  sorted() {
    const { paths, labels, labelSets, splits, contents, groups, weights, kinds } = this;
    const order = Uint32Array.from(paths, (_, i) => i).sort((a, b) => {
      const [first, second] = [paths[a] ?? '', paths[b] ?? ''];
      return first < second ? -1 : first > second ? 1 : 0;
    });
    const inOrder = <T>(column: readonly T[], absent: T) => Array.from(order, (i) => column[i] ?? absent);
    return {
      paths: inOrder(paths, ''),
      labels: inOrder(labels, ''),
      labelSets: kinds.labels > 0 ? inOrder(labelSets, []) : undefined,
      splits: inOrder(splits, undefined),
      contents: inOrder(contents, ''),
      groups: inOrder(groups, undefined),
      weights: weights.every((weight) => weight === 1)
        ? undefined
        : Float64Array.from(order, (i) => weights[i] ?? 1),
    };
  }

  private listOf(text: string | null): readonly string[] {
    const known = this.lists.get(text ?? '');
    const list = known ?? labelsIn(text);
    if (!known) this.lists.set(text ?? '', list);
    return list;
  }

  private shared(text: string): string {
    const known = this.texts.get(text);
    if (known === undefined) this.texts.set(text, text);
    return known ?? text;
  }
}
