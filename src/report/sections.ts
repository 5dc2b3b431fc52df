import type { DataCheck } from '../check/check-data.js';
import { ISSUE_MEANINGS, ISSUES, nameOf } from '../check/finding.js';
import type { Head } from '../head/head.js';
import type { EvaluationResult } from '../head/metrics.js';
import { asCalled } from '../util/errors.js';
import { breakable, html, type Html } from './html.js';
import type { Judged, JudgedPicture } from './judged.js';
import type { HeadMetrics } from './metrics-of-head.js';
import { tableOf } from './plot.js';
import type { Thumbnails } from './thumbnails.js';
import { count, interval, percent, sentence, time } from '../util/text.js';

/** Of each issue so many are shown. */
export const FINDINGS_SHOWN = 8;

/** Accuracy and what to compare it with. */
export function headline({ evaluation, on, isNew }: Judged, { baselines }: HeadMetrics): Html {
  const { accuracy, accuracyInterval, macroF1, logLoss, calibration, balancedAccuracy } = evaluation;
  const bars = [
    { name: 'this head', value: accuracy, bounds: accuracyInterval },
    ...(baselines
      ? [
          {
            name: '10 nearest neighbours',
            value: baselines.nearestNeighbours.accuracy,
            bounds: baselines.nearestNeighbours.accuracyInterval,
          },
          {
            name: 'nearest class mean',
            value: baselines.nearestCentroid.accuracy,
            bounds: baselines.nearestCentroid.accuracyInterval,
          },
        ]
      : []),
  ];
  return html`<section id="headline">
    <p class="big">
      <strong>${percent(accuracy)}</strong> right
      <span>95 % interval ${interval(accuracyInterval)}, on ${count(evaluation.count)} pictures</span>
    </p>
    <p${isNew ? undefined : html` class="warning"`}>Judged on ${on}.${isNew ? '' : ' How good it is on new pictures is not known.'}</p>
    <ul class="bars">
      ${bars.map(
        ({ name, value, bounds }) =>
          html`<li>
            <span>${name}</span
            ><span class="bar" aria-hidden="true"
              ><i style="width:${(100 * (value ?? 0)).toFixed(1)}%"></i
              >${bounds === null ? undefined : html`<em style="left:${(100 * bounds[0]).toFixed(1)}%;right:${(100 - 100 * bounds[1]).toFixed(1)}%"></em>`}</span
            >
            <span>${percent(value)} <small>(${interval(bounds)})</small></span>
          </li>`,
      )}
    </ul>
    <dl class="figures">
      ${[
        ['balanced accuracy', percent(balancedAccuracy)],
        ['macro F1', percent(macroF1)],
        ['log loss', logLoss?.toFixed(3) ?? '–'],
        ['calibration error', percent(calibration.ece)],
      ].map(definition)}
    </dl>
  </section>`;
}

/** Precision, recall, F1 and support of every class. */
export function classTable({ perClass }: EvaluationResult): Html {
  return html`<section id="classes">
    <h2>Class by class</h2>
    ${tableOf([
      ['class', 'precision', 'recall', 'F1', 'pictures'],
      ...perClass.map(({ label, precision, recall, f1, support }) => [
        label,
        percent(precision),
        percent(recall),
        percent(f1),
        count(support),
      ]),
    ])}
  </section>`;
}

/** Pictures with their true and predicted labels. */
export function gallery(
  { id, title, text }: { id: string; title: string; text: string },
  pictures: readonly JudgedPicture[],
  labels: readonly string[],
  thumbnails: Thumbnails,
): Html {
  return html`<section id="${id}">
    <h2>${title}</h2>
    <p>${pictures.length === 0 ? 'There are none.' : text}</p>
    <ul class="gallery">
      ${pictures.map(
        ({ path, label, predicted, probability, probabilityOfLabel }) =>
          html`<li>
            ${image(thumbnails.of(path), `${labels[label] ?? ''}: ${path}`)}
            <b>${labels[label]}</b>
            ${
              label === predicted
                ? html`<span class="right">${percent(probability)}</span>`
                : html`<span class="wrong">taken for ${labels[predicted]}, ${percent(probability)}</span>
                    <small>${labels[label]} ${percent(probabilityOfLabel)}</small>`
            }
          </li>`,
      )}
    </ul>
  </section>`;
}

/** What check-data found. */
export function findingsSection({ findings, warnings, dataset }: DataCheck, thumbnails: Thumbnails): Html {
  const groups = ISSUES.flatMap((issue) => {
    const found = findings.filter((finding) => finding.issue === issue);
    return found.length === 0 ? [] : [{ issue, found }];
  });
  return html`<section id="data">
    <h2>What may be wrong with the data</h2>
    <p>
      ${findings.length === 0 ? 'Nothing was found.' : 'Have a look at these; some will be right as they are.'}
      <code>${asCalled('npm run check-data -- --out FILE.csv')}</code> writes all of it as a manifest to
      correct.
    </p>
    ${warnings.map((line) => html`<p class="warning">${line}</p>`)}
    ${groups.map(
      ({ issue, found }) =>
        html`<h3>
            ${sentence(issue)}:
            ${found.length > FINDINGS_SHOWN ? `${FINDINGS_SHOWN} of ${count(found.length)}` : String(found.length)}
          </h3>
          <p>${sentence(ISSUE_MEANINGS[issue])}.</p>
          <ul class="gallery">
            ${found.slice(0, FINDINGS_SHOWN).map(
              ({ path, detail, related }) =>
                html`<li>
                  <div class="pair">
                    ${image(thumbnails.of(path), path)}
                    ${related === undefined || issue === 'outlier' ? undefined : image(thumbnails.of(related), related)}
                  </div>
                  <b>${breakable(nameOf(dataset, path))}</b> <small>${detail}</small>
                </li>`,
            )}
          </ul>`,
    )}
  </section>`;
}

/** What the head is and what it was made of. */
export function aboutSection(head: Head, facts: readonly (readonly [string, string])[]): Html {
  const { kind, labels, counts, training, l2, temperature, unknown, modelId, transformId, created, width } =
    head;
  const sum = (values: readonly number[]) => count(values.reduce((total, n) => total + n, 0));
  const lines: (readonly [string, string])[] = [
    ['head', `Linear(${width}, ${labels.length}), trained ${time(created)}`],
    ['network', modelId],
    ['transform', transformId],
    [
      kind === 'multilabel' ? 'labels' : 'pictures',
      `${sum(counts.train)} to train on, ${sum(counts.validation)} to validate`,
    ],
    ['penalty λ', String(l2)],
    ['temperature', temperature.toFixed(2)],
    ...(kind === 'multilabel'
      ? []
      : [
          [
            'unknown below',
            unknown ? `cosine ${unknown.threshold.toFixed(2)} to the nearest class mean` : 'never',
          ] as const,
        ]),
    [
      'optimiser',
      `${training.converged ? 'converged' : `stopped (${training.reason})`} after ${training.iterations} iterations, loss ${training.loss.toFixed(4)}`,
    ],
    ...facts,
  ];
  return html`<section id="about">
    <h2>What it was trained on</h2>
    <dl class="about">${lines.map(definition)}</dl>
    ${tableOf([
      [kind === 'multilabel' ? 'label' : 'class', 'trained on', 'validated on'],
      ...labels.map((label, n) => [label, count(counts.train[n] ?? 0), count(counts.validation[n] ?? 0)]),
    ])}
  </section>`;
}

/** A thumbnail, or a note that there is none. */
export function image(source: string, text: string): Html {
  return source === ''
    ? html`<span class="missing">no picture</span>`
    : html`<img src="${source}" alt="${text}" loading="lazy" />`;
}

/** A name and its value, for a list of them. */
export function definition([name, value]: readonly string[]): Html {
  return html`<div>
    <dt>${name}</dt>
    <dd>${value}</dd>
  </div>`;
}
