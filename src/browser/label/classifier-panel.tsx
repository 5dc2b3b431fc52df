/** What the classifier that learns beside the labels is worth, and what would make it better. */
import { count, htmlInterval as interval, htmlPercent as percent } from '../../util/format.js';
import type { ClassifierState } from '../../label/protocol.js';
import { openPictures } from './actions.js';
import { Dot } from './words.js';
import * as state from './state.js';
import { isClassifierOpen } from './ui.js';

export function ClassifierPanel() {
  const classifier = state.classifier.value;
  if (!classifier || !isClassifierOpen.value) return null;
  const { status, evaluation, verdict, wanted, history, trainedOn } = classifier;
  return (
    <aside class="classifier" aria-label="Classifier">
      <h2>
        Classifier
        <span class={`status ${status}`}>
          {status === 'learning' ? 'learning …' : status === 'ready' ? `from ${count(trainedOn)} labels` : 'waiting'}
        </span>
      </h2>
      {evaluation ? (
        <>
          <p class="accuracy">
            <strong>{percent(evaluation.accuracy)}</strong> right
          </p>
          <p class="interval">
            {interval([evaluation.low, evaluation.high])}, 95 % interval; by {evaluation.on} on{' '}
            {count(evaluation.pictures)} pictures
          </p>
        </>
      ) : (
        <p class="accuracy">
          <strong>–</strong>
        </p>
      )}
      <History points={history} />
      <p class="verdict">{verdict}</p>
      {wanted !== undefined && <ShowWanted name={wanted} />}
      {evaluation && <PerClass rows={evaluation.perClass} />}
    </aside>
  );
}

/** Opens the pictures that may be of the class that more labels would help most. */
function ShowWanted({ name }: { name: string }) {
  const pictures = state.pictures();
  const index = state.classNames.value.indexOf(name);
  let number = 0;
  for (let id = 0; id < pictures.count; id++) {
    if (pictures.best(id) === index && !pictures.isLabelled(id) && !pictures.isLeftOut(id)) number++;
  }
  if (number === 0) return null;
  return (
    <button type="button" onClick={() => openPictures({ state: 'not labelled', suggestion: name })}>
      Show {count(number)} that may be {name}
    </button>
  );
}

function PerClass({ rows }: { rows: NonNullable<ClassifierState['evaluation']>['perClass'] }) {
  return (
    <table>
      <caption>By class</caption>
      <thead>
        <tr>
          <th scope="col">class</th>
          <th scope="col" title="Of the pictures of the class, those that are found">
            recall
          </th>
          <th scope="col" title="Of the pictures that are given the class, those that are right">
            precision
          </th>
          <th scope="col" title="Pictures of the class that it was measured on">
            pictures
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ name, precision, recall, support }) => (
          <tr key={name}>
            <th scope="row">
              <Dot index={state.classNames.value.indexOf(name)} />
              <span class="name">{name}</span>
            </th>
            <td>{whole(recall)}</td>
            <td>{whole(precision)}</td>
            <td>{count(support)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function whole(fraction: number | null): string {
  return fraction !== null ? `${Math.round(100 * fraction)}\u00a0%` : '–';
}

type Point = ClassifierState['history'][number];

const [WIDTH, HEIGHT] = [268, 72];

/** How accuracy changed over the session, with its interval, by the number of labels. */
function History({ points }: { points: ClassifierState['history'] }) {
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last) return <div class="history" />;
  const low = Math.min(...points.map((point) => point.low));
  const drawn = points.length === 1 ? [first, first] : points;
  const x = (i: number) => (i / (drawn.length - 1)) * WIDTH;
  const y = (accuracy: number) => HEIGHT - 2 - ((accuracy - low) / Math.max(1 - low, 0.01)) * (HEIGHT - 4);
  const path = (of: (point: Point) => number) =>
    drawn.map((point, i) => `${x(i).toFixed(1)},${y(of(point)).toFixed(1)}`);
  const band = [...path(({ high }) => high), ...path((point) => point.low).reverse()];
  return (
    <figure class="history">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`Accuracy over this session: ${percent(first.accuracy)} with ${first.labelled} labels, now ${percent(last.accuracy)} with ${last.labelled}`}
      >
        <polygon points={band.join(' ')} />
        <polyline points={path(({ accuracy }) => accuracy).join(' ')} />
      </svg>
      <figcaption>
        <span>{count(first.labelled)} labels</span>
        <span>{count(last.labelled)} labels</span>
      </figcaption>
    </figure>
  );
}
