import type { DataCheck } from '../check/check-data.js';
import { nameOf } from '../check/finding.js';
import type { Head } from '../head/head.js';
import { sha256Of } from '../util/hash.js';
import { pageFile } from '../util/page-files.js';
import { count } from '../util/format.js';
import { confusionSection } from './confusion.js';
import { mapSection, type EmbeddingMap } from './embedding-map.js';
import { trainingMetrics, type EvaluatedPicture, type ReportEvaluation } from './evaluate.js';
import { curvesSection } from './figures.js';
import { html, Html, scriptJson, type Section } from './html.js';
import type { ListedPicture, PageData } from './page-data.js';
import { THUMBNAIL_SIDE, type ShownPictures, type Thumbnails } from './pictures.js';
import {
  aboutSection,
  findingsSection,
  labelsSection,
  labelText,
  leastCertainSection,
  summarySection,
  topLossesSection,
} from './sections.js';

interface PageContent {
  head: Head;
  evaluation: ReportEvaluation;
  shown: ShownPictures;
  maps: readonly EmbeddingMap[];
  check: DataCheck;
  thumbnails: Thumbnails;
  /** Names and values on how the report was made. */
  about: readonly (readonly [string, string])[];
}

/** The report as one HTML file. It needs no other file, and its policy lets it load none. */
export async function page(content: PageContent): Promise<string> {
  const { head, evaluation, shown, maps, check, thumbnails, about } = content;
  const { labels } = head;
  const training = trainingMetrics(head);
  const list = new PictureList(head, check.dataset, thumbnails);
  const cells = [...shown.cells].map(([key, pictures]) => [key, pictures.map((each) => list.add(each))] as const);
  const points = shown.map.map((picture) => list.add(picture));
  const mapped = points.map((point) => list.pictures[point]!);
  const sections = [
    summarySection(evaluation, training),
    ...(evaluation.kind === 'softmax' ? [confusionSection(evaluation.result.confusion, labels)] : []),
    labelsSection(evaluation, head),
    topLossesSection(shown.topLosses, labels, thumbnails),
    leastCertainSection(shown.leastCertain, labels, thumbnails),
    curvesSection(evaluation, head, training),
    mapSection(maps, mapped, list.labels, evaluation.pictures.length),
    findingsSection(check, thumbnails),
    aboutSection(head, training, about),
  ];
  return document({
    title: `Classifier report: ${labels.length <= 4 ? labels.join(', ') : `${labels.length} labels`}`,
    dataset: check.dataset,
    sections,
    footer:
      `${count(thumbnails.size)} of ${count(check.pictures.length)} pictures are in this file, as thumbnails of at most ` +
      `${THUMBNAIL_SIDE} pixels. It works offline.`,
    data: { labels: list.labels, pictures: list.pictures, cells: Object.fromEntries(cells), points },
  });
}

/** The pictures that the page's script shows, each once, and the texts of their labels. */
class PictureList {
  readonly labels: string[];
  readonly pictures: ListedPicture[] = [];
  private readonly indexOf = new Map<string, number>();

  constructor(
    private readonly head: Head,
    private readonly dataset: string,
    private readonly thumbnails: Thumbnails,
  ) {
    // Those of a multilabel head are the sets of labels that occur.
    this.labels = head.kind === 'softmax' ? [...head.labels] : [];
  }

  /** @returns the picture's index */
  add({ path, labels, predicted, certainty }: EvaluatedPicture): number {
    const known = this.indexOf.get(path);
    if (known !== undefined) return known;
    const index =
      this.pictures.push({
        uri: this.thumbnails.get(path) ?? '',
        name: nameOf(this.dataset, path),
        label: this.indexOfLabels(labels),
        predicted: this.indexOfLabels(predicted),
        p: Number(certainty.toFixed(4)),
      }) - 1;
    this.indexOf.set(path, index);
    return index;
  }

  private indexOfLabels(indices: readonly number[]): number {
    if (this.head.kind === 'softmax') return indices[0]!;
    const text = labelText(indices, this.head.labels);
    const known = this.labels.indexOf(text);
    return known >= 0 ? known : this.labels.push(text) - 1;
  }
}

interface Content {
  title: string;
  /** Absolute path of the data set. */
  dataset: string;
  sections: readonly Section[];
  footer: string;
  data: PageData;
}

async function document({ title, dataset, sections, footer, data }: Content): Promise<string> {
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
          <nav aria-label="Sections">
            <ul>
              ${sections.map(({ id, title: name }) => html`<li><a href="#${id}">${name}</a></li>`)}
            </ul>
          </nav>
        </header>
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
        <script type="application/json" id="pictures">
          ${scriptJson(data)}
        </script>
        ${scriptElement}
      </body>
    </html> `.text;
}
