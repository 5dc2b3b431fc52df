import type { DataCheck } from '../check/check-data.js';
import type { Comparison } from '../classify/compare.js';
import type { Head } from '../head/head.js';
import { sha256Of } from '../util/hash.js';
import { pageFile } from '../util/page-files.js';
import { count } from '../util/format.js';
import { certaintySection, thresholdsOf } from './certainty.js';
import { comparisonSection } from './comparison.js';
import { confusionSection } from './confusion.js';
import { mapSection, type EmbeddingMap } from './embedding-map.js';
import { trainingMetrics, type EvaluatedPicture, type ReportEvaluation } from './evaluate.js';
import type { ExplainedPictures } from './explained.js';
import { curvesSection } from './figures.js';
import { html, Html, scriptJson, type Section } from './html.js';
import type { ListedPicture, PageData } from './page-data.js';
import type { PictureFiles, ShownPictures } from './pictures.js';
import {
  aboutSection,
  findingsSection,
  labelsSection,
  labelNames,
  leastCertainSection,
  leastTypicalSection,
  summarySection,
  topLossesSection,
} from './sections.js';

interface PageContent {
  head: Head;
  evaluation: ReportEvaluation;
  /** With another head. */
  comparison: Comparison | undefined;
  shown: ShownPictures;
  maps: readonly EmbeddingMap[];
  check: DataCheck;
  files: PictureFiles;
  /** Undefined if that is not wanted; the reason if it cannot be done. */
  explained: ExplainedPictures | { reason: string } | undefined;
  /** Paths of the pictures in galleries. */
  inGalleries: ReadonlySet<string>;
  /** Names and values on how the report was made. */
  about: readonly (readonly [string, string])[];
}

/** The report as one HTML file. It needs no other file, and its policy lets it load none. */
export async function page(content: PageContent): Promise<string> {
  const { head, evaluation, comparison, shown, maps, check, files, explained, inGalleries, about } = content;
  const { labels } = head;
  const training = trainingMetrics(head);
  const list = new PictureList(head, files, inGalleries);
  const cells = [...shown.cells].map(([key, pictures]) => [key, pictures.map((each) => list.add(each))] as const);
  const points = shown.map.map((picture) => list.add(picture));
  const mapped = points.map((point) => list.pictures[point]!);
  const thresholds = thresholdsOf(evaluation.pictures);
  const sections = [
    summarySection(evaluation, training),
    ...(comparison ? [comparisonSection(comparison, files)] : []),
    ...(evaluation.kind === 'softmax' ? [confusionSection(evaluation.result.confusion, labels)] : []),
    labelsSection(evaluation, head),
    certaintySection(thresholds, head.kind),
    topLossesSection(shown.topLosses, labels, files, explained),
    leastCertainSection(shown.leastCertain, labels, files, explained),
    ...(head.unknown ? [leastTypicalSection(shown.leastTypical, evaluation.pictures, head, files, explained)] : []),
    curvesSection(evaluation, head, training),
    mapSection(maps, mapped, list.labels, evaluation.pictures.length),
    findingsSection(check, files),
    aboutSection(head, training, about),
  ];
  return document({
    title: `Classifier report: ${labels.length <= 4 ? labels.join(', ') : `${labels.length} labels`}`,
    dataset: check.dataset,
    sections,
    labels,
    canBeUnlike: head.unknown !== null && head.unknown.rate !== 'off',
    footer:
      `${count(files.count)} of ${count(check.pictures.length)} pictures are in this file, as thumbnails. It works offline. ` +
      'Paths open the pictures where the report lies beside them.',
    data: {
      thresholds,
      labels: list.labels,
      pictures: list.pictures,
      cells: Object.fromEntries(cells),
      points,
      heat: explained && 'seen' in explained ? { seen: explained.seen } : null,
    },
  });
}

/** The pictures that the page's script shows, each once, and the texts of their labels. */
class PictureList {
  readonly labels: string[];
  readonly pictures: ListedPicture[] = [];
  private readonly indexOf = new Map<string, number>();

  constructor(
    private readonly head: Head,
    private readonly files: PictureFiles,
    private readonly inGalleries: ReadonlySet<string>,
  ) {
    // Those of a multilabel head are the sets of labels that occur.
    this.labels = head.kind === 'softmax' ? [...head.labels] : [];
  }

  /** @returns the picture's index */
  add({ path, labels, predicted, certainty, typicality, unknown }: EvaluatedPicture): number {
    const known = this.indexOf.get(path);
    if (known !== undefined) return known;
    const index =
      this.pictures.push({
        uri: this.inGalleries.has(path) ? '' : (this.files.thumbnailOf(path) ?? ''),
        name: this.files.nameOf(path),
        path,
        href: this.files.hrefOf(path) ?? '',
        label: this.indexOfLabels(labels),
        predicted: this.indexOfLabels(predicted),
        p: Number(certainty.toFixed(4)),
        typicality: typicality === null ? null : Number(typicality.toFixed(4)),
        unknown,
      }) - 1;
    this.indexOf.set(path, index);
    return index;
  }

  private indexOfLabels(indices: readonly number[]): number {
    if (this.head.kind === 'softmax') return indices[0]!;
    const text = labelNames(indices, this.head.labels);
    const known = this.labels.indexOf(text);
    return known >= 0 ? known : this.labels.push(text) - 1;
  }
}

interface Content {
  title: string;
  /** Absolute path of the data set. */
  dataset: string;
  sections: readonly Section[];
  /** Classes to filter by. */
  labels: readonly string[];
  /** Whether pictures can be unlike the training pictures, to filter by that. */
  canBeUnlike: boolean;
  footer: string;
  data: PageData;
}

async function document({ title, dataset, sections, labels, canBeUnlike, footer, data }: Content): Promise<string> {
  const [script, style] = await Promise.all([pageFile('report/page.js'), pageFile('report/page.css')]);
  // The policy has the digest of the very text between the tags, so nothing may indent it.
  const scriptElement = new Html(`<script>${script}</script>`);
  const policy = `default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${sha256Of(script, 'base64')}'`;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        <link rel="icon" href="data:," />
        <style>
          ${new Html(style)}
        </style>
      </head>
      <body>
        <header>
          <h1>${title}</h1>
          <p>${dataset}</p>
        </header>
        <div class="side">
          <nav aria-label="Sections">
            <ul>
              ${sections.map(({ id, title: name }) => html`<li><a href="#${id}">${name}</a></li>`)}
            </ul>
          </nav>
          <form id="filter" role="search" aria-label="Pictures" class="screen">
            <label>
              Pictures of
              <select id="filter-class">
                <option>all classes</option>
                ${labels.map((label) => html`<option value="${label}">${label}</option>`)}
              </select>
            </label>
            <label>
              whose text has
              <input type="search" id="filter-text" placeholder="part of a name" />
            </label>
            ${
              canBeUnlike
                ? html`<label class="check">
                    <input type="checkbox" id="filter-unlike" />
                    unlike the training pictures
                  </label>`
                : undefined
            }
            <output id="filter-status"></output>
          </form>
        </div>
        <main>
          ${sections.map(
            ({ id, title: heading, content }) =>
              html`<section id="${id}">
                <h2>${heading}</h2>
                ${content}
              </section>`,
          )}
        </main>
        <footer>
          <p>${footer}</p>
        </footer>
        <dialog id="cell" aria-labelledby="cell-title">
          <form method="dialog"><button>Close</button></form>
          <h2 id="cell-title"></h2>
          <p></p>
          <ul class="gallery"></ul>
        </dialog>
        <dialog id="enlarged" aria-labelledby="enlarged-title">
          <form method="dialog"><button>Close</button></form>
          <h2 id="enlarged-title"></h2>
          <img alt="" />
          <p class="place"></p>
          <p><button type="button" class="copy">Copy the path</button> <span role="status"></span></p>
        </dialog>
        <script type="application/json" id="pictures">
          ${scriptJson(data)}
        </script>
        ${scriptElement}
      </body>
    </html> `.text;
}
