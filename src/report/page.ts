import type { DataCheck } from '../check/check-data.js';
import type { Head } from '../head/head.js';
import { confusionSection } from './confusion.js';
import type { EmbeddingMap } from './embedding-map.js';
import { l2PathFigure, learningCurveFigure, reliabilityDiagram } from './figures.js';
import { html } from './html.js';
import type { Judged } from './judged.js';
import { mapSection } from './map-section.js';
import { metricsOf } from './metrics-of-head.js';
import { PictureList } from './picture-list.js';
import { aboutSection, classTable, findingsSection, gallery, headline } from './sections.js';
import type { Shown } from './selection.js';
import { shell } from './shell.js';
import type { Thumbnails } from './thumbnails.js';

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

/** The report on a head of one class a picture. */
export function page(content: PageContent): Promise<string> {
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
  return shell({
    title,
    dataset,
    sections: SECTIONS,
    main: [
      headline(judged, metrics),
      confusionSection(evaluation.confusion, labels),
      classTable(evaluation),
      gallery(
        {
          id: 'mistakes',
          title: 'The most confident mistakes',
          text: 'Wrong labels show up here first, then what the network cannot see.',
        },
        ...([shown.mistakes, labels, thumbnails] as const),
      ),
      gallery(
        {
          id: 'uncertain',
          title: 'The least certain pictures',
          text: 'More pictures like these would teach the head the most.',
        },
        ...([shown.uncertain, labels, thumbnails] as const),
      ),
      html`<section id="curves">
        <h2>Can it be trusted, and would more pictures help?</h2>
        <div class="two">
          ${reliabilityDiagram(evaluation.calibration)}
          ${metrics.learningCurve ? learningCurveFigure(metrics.learningCurve) : html`<p>There is no learning curve: train-head measures one with --learning-curve.</p>`}
          ${metrics.path ? l2PathFigure(metrics.path, head.l2) : undefined}
        </div>
      </section>`,
      mapSection(maps, onMap, labels, pictures.length),
      findingsSection(check, thumbnails),
      aboutSection(head, facts),
    ],
    counts: { shown: thumbnails.size, all: check.pictures.length },
    data: { labels, pictures: listed.all, cells, points },
  });
}
