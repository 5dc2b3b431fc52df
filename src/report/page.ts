import { createHash } from 'node:crypto';
import { relative } from 'node:path';
import type { Head } from '../head/index.js';
import type { DataCheck } from '../quality/index.js';
import { confusionSection } from './confusion.js';
import type { EmbeddingMap } from './embedding-map.js';
import { l2PathFigure, learningCurveFigure, reliabilityDiagram } from './figures.js';
import { html, Html, scriptJson } from './html.js';
import type { Judged, JudgedPicture } from './judged.js';
import { mapSection } from './map-section.js';
import { metricsOf } from './metrics-of-head.js';
import { SCRIPT } from './script.js';
import { aboutSection, classTable, findingsSection, gallery, headline } from './sections.js';
import type { Shown } from './selection.js';
import { STYLE } from './style.js';
import type { Thumbnails } from './thumbnails.js';
import { count } from './words.js';

export interface PageContent {
  head: Head;
  /** Absolute path of the data set. */
  dataset: string;
  judged: Judged;
  shown: Shown;
  maps: EmbeddingMap[];
  check: DataCheck;
  thumbnails: Thumbnails;
  /** Further lines about how it came about. */
  facts: readonly (readonly [string, string])[];
}

const SECTIONS = [
  ['headline', 'Accuracy'],
  ['confusion', 'Confusion'],
  ['classes', 'Classes'],
  ['mistakes', 'Mistakes'],
  ['uncertain', 'Uncertain'],
  ['curves', 'Curves'],
  ['map', 'Map'],
  ['data', 'Data'],
  ['about', 'About'],
] as const;

/** Made here, as the policy names the digest of the very text between the tags. */
const SCRIPT_ELEMENT = new Html(`<script>${SCRIPT}</script>`);

/** The report as one HTML file that needs nothing else, and may load nothing else: its policy forbids it. */
export function page(content: PageContent): string {
  const { head, dataset, judged, shown, maps, check, thumbnails, facts } = content;
  const { labels } = head;
  const { evaluation, pictures } = judged;
  const metrics = metricsOf(head);
  const listed = new PictureList(dataset, thumbnails);
  const cells = Object.fromEntries(
    [...shown.cells].map(([key, found]) => [key, found.map((p) => listed.add(p))]),
  );
  const points = shown.map.map((picture) => listed.add(picture));
  const onMap = shown.map.map(({ label, predicted }, i) => ({
    label,
    isRight: label === predicted,
    picture: points[i] ?? 0,
  }));
  const title = `${labels.length <= 4 ? labels.join(', ') : `${labels.length} classes`}: how good the classifier is`;
  const policy = `default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${digest(SCRIPT)}'`;
  const { text } = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        <link rel="icon" href="data:," />
        <style>
          ${new Html(STYLE)}
        </style>
      </head>
      <body>
        <header>
          <h1>${title}</h1>
          <p>${dataset}</p>
          <nav aria-label="Sections">
            <ul>
              ${SECTIONS.map(([id, name]) => html`<li><a href="#${id}">${name}</a></li>`)}
            </ul>
          </nav>
        </header>
        <main>
          ${headline(judged, metrics)} ${confusionSection(evaluation.confusion, labels)}
          ${classTable(evaluation)}
          ${gallery({ id: 'mistakes', title: 'The most confident mistakes', text: 'Wrong labels show up here first, then what the network cannot see.' }, shown.mistakes, labels, thumbnails)}
          ${gallery({ id: 'uncertain', title: 'The least certain pictures', text: 'More pictures like these would teach the head the most.' }, shown.uncertain, labels, thumbnails)}
          <section id="curves">
            <h2>Can it be trusted, and would more pictures help?</h2>
            <div class="two">
              ${reliabilityDiagram(evaluation.calibration)}
              ${metrics.learningCurve ? learningCurveFigure(metrics.learningCurve) : html`<p>There is no learning curve: train-head measures one with --learning-curve.</p>`}
              ${metrics.path ? l2PathFigure(metrics.path, head.l2) : undefined}
            </div>
          </section>
          ${mapSection(maps, onMap, labels, pictures.length)} ${findingsSection(check, thumbnails)}
          ${aboutSection(head, facts)}
        </main>
        <footer>
          <p>
            ${count(thumbnails.size)} of ${count(check.pictures.length)} pictures are in this file, as
            thumbnails of 128 pixels at most. It needs no network and loads nothing.
          </p>
        </footer>
        <dialog id="cell" aria-labelledby="cell-title">
          <form method="dialog"><button>Close</button></form>
          <h2 id="cell-title"></h2>
          <p></p>
          <ul class="gallery"></ul>
        </dialog>
        <script type="application/json" id="pictures">
          ${scriptJson({ labels, pictures: listed.all, cells, points })}
        </script>
        ${SCRIPT_ELEMENT}
      </body>
    </html> `;
  return text;
}

/** The pictures that the page's script shows, each once. */
class PictureList {
  readonly all: { uri: string; name: string; label: number; predicted: number; p: number }[] = [];
  private readonly places = new Map<string, number>();

  constructor(
    private readonly dataset: string,
    private readonly thumbnails: Thumbnails,
  ) {}

  /** @returns the picture's number */
  add({ path, label, predicted, probability }: JudgedPicture): number {
    const known = this.places.get(path);
    if (known !== undefined) return known;
    const p = Number(probability.toFixed(4));
    this.all.push({ uri: this.thumbnails.of(path), name: relative(this.dataset, path), label, predicted, p });
    this.places.set(path, this.all.length - 1);
    return this.all.length - 1;
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}
