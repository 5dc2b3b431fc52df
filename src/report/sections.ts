import type { DataCheck } from '../check/check-data.js';
import { ISSUE_MEANINGS, ISSUES, type Finding } from '../check/finding.js';
import type { Head } from '../head/head.js';
import { isClearlyBetter } from '../head/task.js';
import { asCalled } from '../util/errors.js';
import { sum } from '../util/math.js';
import { count, htmlInterval as interval, htmlPercent as percent, sentence, time } from '../util/format.js';
import type { EvaluatedPicture, ReportEvaluation, TrainingMetrics } from './evaluate.js';
import { breakable, definitions, html, table, type Html, type Section } from './html.js';
import { type ExplainedPictures, heatData, heatSwitch, mappedLabels } from './explained.js';
import type { HeatData } from './page-data.js';
import { isRight, type LossGroup, type PictureFiles } from './pictures.js';
import { typicalityText } from './typicality.js';

/** Findings of each issue that are shown. */
const FINDINGS_SHOWN = 8;

interface Score {
  name: string;
  value: number | null;
  interval?: readonly [number, number] | null | undefined;
}

/** How good the head is, beside methods that need no training. */
export function summarySection(evaluation: ReportEvaluation, { baselines }: TrainingMetrics): Section {
  const { on, isHeldOut, result } = evaluation;
  const scores = scoresOf(evaluation, baselines);
  const [{ value, interval: bounds }] = scores;
  const pictures = `on ${count(result.count)} pictures`;
  return {
    id: 'summary',
    title: evaluation.kind === 'softmax' ? 'Accuracy' : 'Mean average precision',
    content: html`<p class="big">
        <strong>${percent(value)}</strong>
        <span>${bounds ? `95 % interval ${interval(bounds)}, ${pictures}` : `mean over the labels, ${pictures}`}</span>
      </p>
      ${
        isHeldOut
          ? html`<p>Evaluated on ${on}.</p>`
          : html`<p class="warning">Evaluated on ${on}. How good it is on new pictures is unknown.</p>`
      }
      ${
        baselines && 'mostCommon' in baselines && !isClearlyBetter(baselines)
          ? html`<p class="warning">
              When trained, it was not clearly better than always answering “${baselines.mostCommon.label}”. Balanced
              class weights, more pictures of the other classes or another backbone may help.
            </p>`
          : undefined
      }
      <div class="summary">
        <ul class="bars">
          ${scores.map(bar)}
        </ul>
        ${definitions('figures', figuresOf(evaluation))}
      </div>`,
  };
}

/** The head's score first, then those of the baselines. */
function scoresOf({ kind, result }: ReportEvaluation, baselines: TrainingMetrics['baselines']): [Score, ...Score[]] {
  if (kind === 'softmax') {
    const own = { name: 'this head', value: result.accuracy, interval: result.accuracyInterval };
    if (!baselines || !('mostCommon' in baselines)) return [own];
    const { mostCommon, nearestNeighbours, nearestCentroid } = baselines;
    return [
      own,
      {
        name: `always “${mostCommon.label}”`,
        value: mostCommon.accuracy,
        interval: mostCommon.accuracyInterval,
      },
      {
        name: `${nearestNeighbours.k} nearest neighbours`,
        value: nearestNeighbours.accuracy,
        interval: nearestNeighbours.accuracyInterval,
      },
      {
        name: 'nearest class mean',
        value: nearestCentroid.accuracy,
        interval: nearestCentroid.accuracyInterval,
      },
    ];
  }
  const own = { name: 'this head', value: result.meanAveragePrecision };
  if (!baselines || !('chance' in baselines)) return [own];
  return [
    own,
    { name: `${baselines.k} nearest neighbours`, value: baselines.nearestNeighbours },
    { name: 'chance', value: baselines.chance },
  ];
}

function bar({ name, value, interval: bounds }: Score): Html {
  const width = (100 * (value ?? 0)).toFixed(1);
  const whisker =
    bounds &&
    html`<em style="left:${(100 * bounds[0]).toFixed(1)}%;right:${(100 - 100 * bounds[1]).toFixed(1)}%"></em>`;
  return html`<li>
    <span>${name}</span
    ><span class="bar" aria-hidden="true"><i style="width:${width}%"></i>${whisker ?? undefined}</span>
    <span>${percent(value)} ${bounds ? html`<small>(${interval(bounds)})</small>` : undefined}</span>
  </li>`;
}

function figuresOf({ kind, result }: ReportEvaluation): readonly (readonly [string, string])[] {
  const own =
    kind === 'softmax'
      ? ([['balanced accuracy', percent(result.balancedAccuracy)]] as const)
      : ([
          ['all labels right', percent(result.subsetAccuracy)],
          ['micro F1', percent(result.microF1)],
        ] as const);
  return [
    ...own,
    ['macro F1', percent(result.macroF1)],
    ['log loss', result.logLoss?.toFixed(3) ?? '–'],
    ['calibration error', percent(result.calibration.ece)],
  ];
}

/** Precision, recall and F1 of each class or label. */
export function labelsSection({ kind, result }: ReportEvaluation, { thresholds }: Head): Section {
  const rest = ['precision', 'recall', 'F1', 'pictures'];
  if (kind === 'softmax') {
    const rows = result.perClass.map(({ label, precision, recall, f1, support }) => [
      label,
      ...[precision, recall, f1].map((value) => percent(value)),
      count(support),
    ]);
    return { id: 'labels', title: 'Per-class metrics', content: table([['class', ...rest], ...rows]) };
  }
  const rows = result.perLabel.map(({ label, averagePrecision, precision, recall, f1, support }, n) => [
    label,
    percent(averagePrecision),
    thresholds?.[n]?.toFixed(3) ?? '–',
    ...[precision, recall, f1].map((value) => percent(value)),
    count(support),
  ]);
  return {
    id: 'labels',
    title: 'Per-label metrics',
    content: html`<p>
        A label is predicted if its probability reaches the threshold. Average precision (AP) does not depend on it.
      </p>
      ${table([['label', 'AP', 'threshold', ...rest], ...rows])}`,
  };
}

/** Where classes were seen, or why that is not known; undefined if it is not wanted. */
type Explained = ExplainedPictures | { reason: string } | undefined;

/** The most confident mistakes. */
export function topLossesSection(
  groups: readonly LossGroup[],
  labels: readonly string[],
  files: PictureFiles,
  explained: Explained,
): Section {
  return {
    id: 'top-losses',
    title: 'Top losses',
    content: html`<p>
        ${groups.length === 0 ? 'There are no mistakes.' : 'The most confident mistakes. Wrong labels show up here first, then what the backbone cannot distinguish.'}
      </p>
      ${groups.length === 0 ? undefined : heatSwitch(explained)}
      ${groups.map(({ label, mistakes, pictures }) => {
        const cards = pictures.map((picture) => card(picture, labels, files, explained, label));
        const heading =
          label === undefined
            ? undefined
            : html`<h3>${labels[label]}: ${count(mistakes)} ${mistakes === 1 ? 'mistake' : 'mistakes'}</h3>`;
        return html`${heading}
          <ul class="gallery">
            ${cards}
          </ul>`;
      })}`,
  };
}

export function leastCertainSection(
  pictures: readonly EvaluatedPicture[],
  labels: readonly string[],
  files: PictureFiles,
  explained: Explained,
): Section {
  return {
    id: 'least-certain',
    title: 'Least certain',
    content: html`<p>More pictures like these would improve the head the most.</p>
      ${heatSwitch(explained)}
      <ul class="gallery">
        ${pictures.map((picture) => card(picture, labels, files, explained))}
      </ul>`,
  };
}

/** The pictures that are the least like those that the head was trained on. @param all that were evaluated */
export function leastTypicalSection(
  pictures: readonly EvaluatedPicture[],
  all: readonly EvaluatedPicture[],
  { labels, unknown: rule }: Head,
  files: PictureFiles,
  explained: Explained,
): Section {
  const [right, wrong] = [all.filter(isRight), all.filter((picture) => !isRight(picture))];
  const flagged = (some: readonly EvaluatedPicture[]) =>
    `${count(some.filter(({ unknown }) => unknown).length)} of ${count(some.length)}`;
  const below =
    rule && rule.rate !== 'off'
      ? `Where it is below ${rule.rate}, as for ${flagged(right)} right predictions and ${flagged(wrong)} wrong ones, the picture is unlike the training pictures.`
      : undefined;
  return {
    id: 'least-typical',
    title: 'Least typical',
    content: html`<p>
        The typicality of a picture is the share of the training pictures, of those predicted right in cross-validation,
        that are less typical of the classes. ${below} Pictures of other things and odd views show up here first.
      </p>
      ${heatSwitch(explained)}
      <ul class="gallery">
        ${pictures.map((picture) => card(picture, labels, files, explained))}
      </ul>`,
  };
}

/** A picture and its prediction, or whether that has the one label. */
function card(
  picture: EvaluatedPicture,
  labels: readonly string[],
  files: PictureFiles,
  explained: Explained,
  label?: number,
): Html {
  const { path, predicted, certainty, typicality, unknown, probabilities } = picture;
  const truth = labelNames(picture.labels, labels);
  const isOne = picture.labels.length === 1 && predicted.length === 1;
  const names = [...new Set([...picture.labels, ...predicted])].map((n) => labels[n]!);
  const heat = explained && 'maps' in explained ? heatData(explained, path, mappedLabels(picture, label), labels) : [];
  const typical = typicalityText(typicality, unknown);
  return html`<li data-labels="${JSON.stringify(names)}">
    ${image(files, path, truth, heat)}
    <b>${truth}</b>
    ${
      label !== undefined
        ? html`<span class="wrong">
            ${labels[label]} ${predicted.includes(label) ? 'predicted' : 'not predicted'},
            ${percent(probabilities.get(label))}
          </span>`
        : isRight(picture)
          ? html`<span class="right">${percent(certainty)}</span>`
          : html`<span class="wrong">predicted ${labelNames(predicted, labels)}, ${percent(certainty)}</span>
              ${isOne ? html`<small>${truth} ${percent(probabilities.get(picture.labels[0]!))}</small>` : undefined}`
    }
    ${typical === undefined ? undefined : html`<small class="${unknown ? 'unlike' : 'typical'}">${typical}</small>`}
    ${place(files, path)}
  </li>`;
}

/** The names of labels, which are given as indices. */
export function labelNames(indices: readonly number[], labels: readonly string[]): string {
  return indices.length === 0 ? 'none of the labels' : indices.map((n) => labels[n]!).join(', ');
}

/** A thumbnail that can be enlarged, or what stands for one that is missing. */
export function image(files: PictureFiles, path: string, text: string, heat: readonly HeatData[] = []): Html {
  const source = files.thumbnailOf(path);
  return source === undefined
    ? html`<span class="missing">no picture</span>`
    : html`<button
        type="button"
        class="enlarge"
        aria-haspopup="dialog"
        data-path="${path}"
        data-href="${files.hrefOf(path) ?? ''}"
        ${heat.length === 0 ? undefined : html`data-heat="${JSON.stringify(heat)}"`}
      >
        <img src="${source}" alt="${text}: ${files.nameOf(path)}" loading="lazy" />
      </button>`;
}

/** Where a picture lies, as a link where the report is beside it. */
export function place(files: PictureFiles, path: string): Html {
  const [href, name] = [files.hrefOf(path), breakable(files.nameOf(path))];
  return href === undefined
    ? html`<span class="path">${name}</span>`
    : html`<a class="path" href="${href}">${name}</a>`;
}

/** What `checkData` found. */
export function findingsSection(check: DataCheck, files: PictureFiles): Section {
  const { findings, warnings, pictures } = check;
  const labelsOf = new Map(
    pictures.map(({ path, label, labels = label === undefined ? [] : [label] }) => [path, labels] as const),
  );
  const shown = shownFindings(check);
  const groups = ISSUES.flatMap((issue) => {
    const total = findings.filter((finding) => finding.issue === issue).length;
    return total === 0 ? [] : [{ issue, total, found: shown.filter((finding) => finding.issue === issue) }];
  });
  return {
    id: 'data',
    title: 'Data issues',
    content: html`<p>
        ${findings.length === 0 ? 'None were found.' : 'Look at these pictures. Some will be right as they are.'}
        <code>${asCalled('npm run check-data -- --out FILE.csv')}</code> writes all findings into a manifest that you
        can correct.
      </p>
      ${warnings.map((line) => html`<p class="warning">${line}</p>`)}
      ${groups.map(
        ({ issue, total, found }) =>
          html`<h3>
              ${sentence(issue)}: ${found.length < total ? `${found.length} of ${count(total)}` : count(total)}
            </h3>
            <p>${sentence(ISSUE_MEANINGS[issue])}.</p>
            <ul class="gallery">
              ${found.map(({ path, detail, related, suggestedLabel }) => {
                const other = issue === 'outlier' ? undefined : related;
                const names = [
                  ...(labelsOf.get(path) ?? []),
                  ...(suggestedLabel === undefined ? [] : [suggestedLabel]),
                ];
                return html`<li data-labels="${JSON.stringify(names)}">
                  <div class="pair">
                    ${image(files, path, sentence(issue))}
                    ${other === undefined ? undefined : image(files, other, 'The other picture')}
                  </div>
                  <b>${detail}</b>
                  ${place(files, path)} ${other === undefined ? undefined : place(files, other)}
                </li>`;
              })}
            </ul>`,
      )}`,
  };
}

/** The clearest findings of each issue. */
export function shownFindings({ findings }: DataCheck): Finding[] {
  return ISSUES.flatMap((issue) => findings.filter((finding) => finding.issue === issue).slice(0, FINDINGS_SHOWN));
}

/** What the head is, and what it was trained on. */
export function aboutSection(
  head: Head,
  metrics: TrainingMetrics,
  about: readonly (readonly [string, string])[],
): Section {
  const { kind, labels, counts, training, l2, temperature, unknown, modelId, transformId, created, width } = head;
  const isSoftmax = kind === 'softmax';
  const [trained, validated] = [counts.train, counts.validation].map((each) => count(sum(each)));
  const stopped = training.converged ? 'converged' : `stopped (${training.reason})`;
  return {
    id: 'about',
    title: 'About',
    content: html`${definitions('about', [
      ['head', `Linear(${width}, ${labels.length}), trained ${time(created)}`],
      ['backbone', modelId],
      ['transform', transformId],
      [isSoftmax ? 'pictures' : 'labels', `${trained} for training, ${validated} for validation`],
      ['penalty λ', String(l2)],
      ['temperature', temperature.toFixed(2)],
      ...(isSoftmax ? [['unlike the training pictures', unknownText(unknown, metrics)] as const] : []),
      ['optimiser', `${stopped} after ${training.iterations} iterations, loss ${training.loss.toFixed(4)}`],
      ...about,
    ])}
    ${table([
      [isSoftmax ? 'class' : 'label', 'training', 'validation'],
      ...labels.map((label, n) => [label, count(counts.train[n]!), count(counts.validation[n]!)]),
    ])}`,
  };
}

function unknownText(unknown: Head['unknown'], { unknown: found }: TrainingMetrics): string {
  if (!unknown || unknown.rate === 'off') return 'no picture is called so';
  const shares = found
    ? `; in cross-validation ${percent(found.flaggedRight)} of right predictions and ${percent(found.flaggedWrong)} of wrong ones`
    : '';
  return `typicality below ${unknown.rate}${shares}`;
}
