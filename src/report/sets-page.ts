import type { DataCheck } from '../check/check-data.js';
import type { Head } from '../head/head.js';
import type { EmbeddingMap } from './embedding-map.js';
import { l2PathFigure, mapCurveFigure } from './figures.js';
import { html, type Html } from './html.js';
import type { JudgedSet, JudgedSets } from './judged-sets.js';
import { mapSection } from './map-section.js';
import { metricsOf } from './metrics-of-head.js';
import { PictureList } from './picture-list.js';
import { tableOf } from './plot.js';
import { aboutSection, definition, findingsSection, image } from './sections.js';
import type { LabelMistakes, ShownSets } from './sets-selection.js';
import { shell } from './shell.js';
import type { Thumbnails } from './thumbnails.js';
import { count, percent } from '../util/text.js';

export interface SetsPageContent {
  head: Head;
  /** Absolute path of the data set. */
  dataset: string;
  judged: JudgedSets;
  shown: ShownSets;
  maps: EmbeddingMap[];
  check: DataCheck;
  thumbnails: Thumbnails;
  /** Further lines about how it came about. */
  facts: readonly (readonly [string, string])[];
}

/** The report on a head of any number of labels a picture. */
export function setsPage({
  head,
  dataset,
  judged,
  shown,
  maps,
  check,
  thumbnails,
  facts,
}: SetsPageContent): Promise<string> {
  const { labels } = head;
  const { path, mapCurve, neighboursMap, chanceMap } = metricsOf(head);
  const texts = new SetTexts(labels);
  const listed = new PictureList(dataset, thumbnails);
  const onMap = shown.map.map((picture) => {
    const [label, predicted] = [texts.numberOf(picture.truth), texts.numberOf(picture.predicted)];
    const listedAs = { path: picture.path, label, predicted, probability: certainty(picture) };
    return { label, isRight: label === predicted, picture: listed.add(listedAs) };
  });
  const curves = [
    ...(mapCurve ? [mapCurveFigure(mapCurve)] : []),
    ...(path ? [l2PathFigure(path, head.l2)] : []),
  ];
  return shell({
    title: `${labels.length <= 4 ? labels.join(', ') : `${labels.length} labels`}: how good the classifier is`,
    dataset,
    sections: [
      ['headline', 'Figures'],
      ['labels', 'Labels'],
      ['mistakes', 'Mistakes'],
      ...(curves.length > 0 ? [['curves', 'Curves'] as const] : []),
      ['map', 'Map'],
      ['data', 'Data'],
      ['about', 'About'],
    ],
    main: [
      headline(judged, neighboursMap, chanceMap),
      labelTable(judged, head),
      mistakesSection(shown.mistakes, labels, thumbnails),
      ...(curves.length > 0
        ? [
            html`<section id="curves">
              <h2>How it was trained</h2>
              <div class="two">${curves}</div>
            </section>`,
          ]
        : []),
      mapSection(maps, onMap, texts.all, judged.pictures.length),
      findingsSection(check, thumbnails),
      aboutSection(head, facts),
    ],
    counts: { shown: thumbnails.size, all: check.pictures.length },
    data: { labels: texts.all, pictures: listed.all, cells: {}, points: onMap.map(({ picture }) => picture) },
  });
}

/** What a picture shows, in words: each distinct set of labels gets a number. */
class SetTexts {
  readonly all: string[] = [];
  private readonly numbers = new Map<string, number>();

  constructor(private readonly labels: readonly string[]) {}

  numberOf(set: readonly number[]): number {
    const text = set.length === 0 ? 'none of the labels' : set.map((n) => this.labels[n] ?? '').join(', ');
    const number = this.numbers.get(text) ?? this.all.push(text) - 1;
    this.numbers.set(text, number);
    return number;
  }
}

/** The probability of the least certain of the answers that were given. */
function certainty({ predicted, probabilities }: JudgedSet): number {
  const given = new Set(predicted);
  return Math.min(...probabilities.map((p, n) => (given.has(n) ? p : 1 - p)));
}

function headline(
  { evaluation, on, isNew }: JudgedSets,
  neighbours: number | undefined,
  chance: number | undefined,
): Html {
  const { count: judged, meanAveragePrecision, macroF1, microF1, subsetAccuracy, logLoss } = evaluation;
  return html`<section id="headline">
    <p class="big">
      <strong>${percent(meanAveragePrecision)}</strong> mAP
      <span>mean average precision over the labels, on ${count(judged)} pictures</span>
    </p>
    <p${isNew ? undefined : html` class="warning"`}>Judged on ${on}.${isNew ? '' : ' How good it is on new pictures is not known.'}</p>
    <dl class="figures">
      ${[
        ...(neighbours === undefined ? [] : [['mAP of 10 neighbours', percent(neighbours)]]),
        ...(chance === undefined ? [] : [['mAP of chance', percent(chance)]]),
        ['macro F1', percent(macroF1)],
        ['micro F1', percent(microF1)],
        ['all labels right', percent(subsetAccuracy)],
        ['log loss', logLoss?.toFixed(3) ?? '–'],
      ].map(definition)}
    </dl>
  </section>`;
}

function labelTable({ evaluation: { perLabel } }: JudgedSets, { thresholds }: Head): Html {
  return html`<section id="labels">
    <h2>Label by label</h2>
    <p>A label is given from its threshold on; average precision (AP) goes by none.</p>
    ${tableOf([
      ['label', 'AP', 'threshold', 'precision', 'recall', 'F1', 'pictures'],
      ...perLabel.map(({ label, averagePrecision, precision, recall, f1, support }, n) => [
        label,
        percent(averagePrecision),
        thresholds?.[n]?.toFixed(3) ?? '–',
        percent(precision),
        percent(recall),
        percent(f1),
        count(support),
      ]),
    ])}
  </section>`;
}

function mistakesSection(
  mistakes: readonly LabelMistakes[],
  labels: readonly string[],
  thumbnails: Thumbnails,
): Html {
  return html`<section id="mistakes">
    <h2>The most confident mistakes, label by label</h2>
    <p>
      ${mistakes.length === 0 ? 'There are none.' : 'Missing and wrong labels of the data show up here first, then what the network cannot see.'}
    </p>
    ${mistakes.map(
      ({ label, total, missed, wronglyGiven }) =>
        html`<h3>${labels[label]}: ${count(total)} ${total === 1 ? 'mistake' : 'mistakes'}</h3>
          <ul class="gallery">
            ${missed.map((picture) => card(picture, label, 'not given', labels, thumbnails))}
            ${wronglyGiven.map((picture) => card(picture, label, 'wrongly given', labels, thumbnails))}
          </ul>`,
    )}
  </section>`;
}

function card(
  { path, truth, probabilities }: JudgedSet,
  label: number,
  what: string,
  labels: readonly string[],
  thumbnails: Thumbnails,
): Html {
  const shows = truth.map((n) => labels[n] ?? '').join(', ') || 'none of the labels';
  return html`<li>
    ${image(thumbnails.of(path), `${shows}: ${path}`)}
    <span class="wrong">${what}, ${percent(probabilities[label])}</span> <small>shows ${shows}</small>
  </li>`;
}
