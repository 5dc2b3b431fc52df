/** Sends pictures that are dropped, chosen, pasted or taken by the camera to the server, a few at a time, and shows the answers. */
import { csvLine, htmlPercent as percent, labelList, quantity } from '../../util/format.js';
import { scaleOf } from '../../image/heat-map.js';
import { find, make } from '../dom.js';
import { classButtons, drawColourBar, drawHeat, markClass } from '../heat.js';
import { addCamera } from './camera.js';

const CONCURRENCY = 3;

const CSV_HEADER = ['file', 'head', 'label', 'probability', 'typicality', 'unknown', 'error'];

/** What the page reads of `/v1/heads`. */
interface HeadsAnswer {
  heads: { name: string; labels: string[]; baseline: Baseline | null }[];
  similar: boolean;
}

interface Baseline {
  label: string;
  accuracy: number;
  headAccuracy: number;
  pictures: number;
  clearlyBetter: boolean;
}

/** What the page reads of `/v1/heads/:name/classify`. */
interface ClassifyAnswer {
  results?: Result[];
  error?: { message: string };
}

interface Result {
  /** Best first. */
  predictions: { label: string; probability: number }[];
  typicality?: number | null;
  unknown?: boolean;
  /** Of a multilabel head: those that the picture is given. */
  labels?: string[];
  similar?: SimilarPicture[];
  /** Of the leading classes, if they were asked for. */
  explanations?: Explanation[];
}

interface Explanation {
  label: string;
  shares: number[][];
  region: { left: number; top: number; width: number; height: number };
}

interface SimilarPicture {
  id: string;
  path: string;
  label: string | null;
  labels?: string[];
  similarity: number;
}

/** A picture, and where its answer goes. */
interface Job {
  file: File;
  head: string;
  /** Holds the picture or, if it is wanted, the picture with a heat map. */
  picture: HTMLElement;
  img: HTMLImageElement;
  answer: Element;
  /** Aborts when the user clears the page. */
  signal: AbortSignal;
  /** Once it is there. */
  outcome?: Result | { error: string };
  /** Which of the explained classes is shown. */
  shown: number;
}

const access = find('access', HTMLFormElement);
const keyField = find('key', HTMLInputElement);
const about = find('about', HTMLElement);
const ask = find('ask', HTMLElement);
const choice = find('head', HTMLSelectElement);
const drop = find('drop', HTMLElement);
const results = find('results', HTMLElement);
const explained = find('explain', HTMLInputElement);
const [save, clear] = [find('save', HTMLButtonElement), find('clear', HTMLButtonElement)];

let key = sessionStorage.getItem('key') ?? '';
let hasSimilar = false;
let clearing = new AbortController();
/** Those on the page, in the order in which they came. */
let jobs: Job[] = [];
let queue: Job[] = [];
let running = 0;
/** Given before the heads were known. */
let early: File[] = [];

listen();
void start();

function listen(): void {
  access.addEventListener('submit', (event) => {
    event.preventDefault();
    key = keyField.value;
    void start();
  });
  const files = find('files', HTMLInputElement);
  files.addEventListener('change', () => {
    add(files.files);
    files.value = '';
  });
  addCamera((picture) => {
    add([picture]);
  });
  drawColourBar(find('colours', HTMLCanvasElement));
  explained.addEventListener('change', explainAll);
  save.addEventListener('click', saveResults);
  clear.addEventListener('click', clearResults);
  document.addEventListener('paste', ({ clipboardData }) => {
    add(clipboardData?.files);
  });
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
  document.addEventListener('dragleave', () => {
    drop.classList.remove('over');
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    add(event.dataTransfer?.files);
  });
}

/** Asks for the heads and, if the server wants a key that the page does not have, for the key. */
async function start(): Promise<void> {
  try {
    const response = await request('v1/heads');
    if (response.status === 401) {
      access.hidden = false;
      find('refused', HTMLElement).textContent = key === '' ? '' : 'Wrong key.';
      keyField.focus();
      return;
    }
    const { heads, similar } = (await response.json()) as HeadsAnswer;
    hasSimilar = similar;
    sessionStorage.setItem('key', key);
    access.hidden = true;
    ask.hidden = false;
    offer(heads);
    add(early);
    early = [];
  } catch {
    about.textContent = 'The server is not responding.';
  }
}

function offer(heads: HeadsAnswer['heads']): void {
  find('choice', HTMLElement).hidden = heads.length < 2;
  choice.replaceChildren(...heads.map(({ name }) => new Option(name, name)));
  choice.onchange = () => {
    const { labels = [], baseline = null } = heads.find(({ name }) => name === choice.value) ?? {};
    tellWorth(baseline);
    const shown = labels.slice(0, 12).join(', ');
    about.textContent = labels.length > 12 ? `${shown} … ${labels.length} classes in all` : shown;
  };
  choice.dispatchEvent(new Event('change'));
}

/** Says how good the head is, and that it may be no better than a guess. */
function tellWorth(baseline: Baseline | null): void {
  const worth = find('worth', HTMLElement);
  worth.hidden = baseline === null;
  if (!baseline) return;
  const { label, accuracy, headAccuracy, pictures, clearlyBetter } = baseline;
  const [own, simple] = [percent(headAccuracy), percent(accuracy)];
  const on = `${quantity(pictures, 'picture')} that it was not trained on`;
  worth.className = clearlyBetter ? '' : 'note';
  worth.textContent = clearlyBetter
    ? `Right for ${own} of ${on}. Always answering “${label}” would be right for ${simple}.`
    : `Not clearly better than always answering “${label}”: on ${on}, this head is right for ${own}, and that for ${simple}.`;
}

function add(files: Iterable<File> | null | undefined): void {
  if (!files) return;
  if (ask.hidden) {
    early.push(...files);
    return;
  }
  const added = [...files].map((file) => {
    const [card, picture, img] = [make('li'), make('div', undefined, 'picture'), make('img')];
    const answer = make('div', undefined, 'answer');
    img.alt = '';
    picture.append(img);
    answer.append(make('h2', file.name), make('p', 'Waiting …', 'waiting'));
    card.append(picture, answer);
    return { card, job: { file, picture, img, answer, head: choice.value, signal: clearing.signal, shown: 0 } };
  });
  results.prepend(...added.map(({ card }) => card));
  jobs.push(...added.map(({ job }) => job));
  queue.push(...added.map(({ job }) => job));
  tellProgress();
  for (let i = 0; i < CONCURRENCY; i++) void advance();
}

async function advance(): Promise<void> {
  const job = running < CONCURRENCY ? queue.shift() : undefined;
  if (!job) return;
  running++;
  const explain = explained.checked;
  job.outcome = await classify(job, explain);
  running--;
  // It was asked for while the picture was under way.
  if (explained.checked && !explain && !job.signal.aborted && !('error' in job.outcome)) queue.push(job);
  if (!job.signal.aborted) show(job, job.outcome);
  if (explained.checked) drawAll();
  tellProgress();
  void advance();
}

function tellProgress(): void {
  const done = jobs.filter(({ outcome }) => outcome).length;
  const of = `${done} of ${quantity(jobs.length, 'picture')}`;
  find('status', HTMLElement).textContent = jobs.length === 0 ? '' : of;
  save.hidden = done === 0;
  clear.hidden = jobs.length === 0;
}

function clearResults(): void {
  clearing.abort();
  clearing = new AbortController();
  results.querySelectorAll('img').forEach(({ src }) => {
    URL.revokeObjectURL(src);
  });
  results.replaceChildren();
  [jobs, queue] = [[], []];
  tellProgress();
  find('files', HTMLInputElement).focus();
}

/** Downloads what the server answered, a line for each picture. */
function saveResults(): void {
  const lines = jobs.flatMap(({ file, head, outcome }) => {
    if (!outcome) return [];
    if ('error' in outcome) return csvLine([file.name, head, '', '', '', '', outcome.error]);
    const { predictions, labels, typicality, unknown } = outcome;
    const [best] = predictions;
    return labels
      ? csvLine([file.name, head, labelList(labels), '', '', '', ''])
      : csvLine([
          file.name,
          head,
          best?.label,
          best?.probability.toFixed(4),
          typicality?.toFixed(4),
          String(unknown ?? false),
          '',
        ]);
  });
  const link = make('a');
  link.href = URL.createObjectURL(new Blob([csvLine(CSV_HEADER), ...lines], { type: 'text/csv' }));
  link.download = 'predictions.csv';
  link.click();
  URL.revokeObjectURL(link.href);
}

async function classify(job: Job, explain: boolean): Promise<Result | { error: string }> {
  try {
    const { results: [result] = [], error } = await send(job, explain);
    return result ?? { error: error?.message ?? 'The server sent no result.' };
  } catch {
    return { error: 'The server is not responding.' };
  }
}

/** Sends a picture, again and again while the server has too much to do. */
async function send({ file, head, signal }: Job, explain: boolean): Promise<ClassifyAnswer> {
  const query = `?topK=5${hasSimilar ? '&similar=6' : ''}${explain ? '&explain=2' : ''}`;
  for (;;) {
    const response = await request(`v1/heads/${encodeURIComponent(head)}/classify${query}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/octet-stream' },
      body: file,
      signal,
    });
    if (response.status !== 429) return (await response.json()) as ClassifyAnswer;
    const seconds = Number(response.headers.get('Retry-After')) || 1;
    await new Promise((resume) => setTimeout(resume, 1000 * seconds));
    signal.throwIfAborted();
  }
}

/** Shows where the classes were seen, for which pictures are sent again if need be, or no longer shows it. */
function explainAll(): void {
  const isMissing = ({ outcome }: Job) => outcome && !('error' in outcome) && !outcome.explanations;
  if (explained.checked) {
    queue.push(...jobs.filter(isMissing));
    for (let i = 0; i < CONCURRENCY; i++) void advance();
  }
  drawAll();
}

/** Draws all pictures anew, as a new one may change the scale, which is the same for all. */
function drawAll(): void {
  const ofJob = ({ outcome }: Job) => (outcome && !('error' in outcome) && outcome.explanations) || [];
  const scale = scaleOf(jobs.flatMap((job) => ofJob(job).slice(0, 1)).map(({ shares }) => shares));
  find('most', HTMLElement).textContent = `${scale} or more`;
  find('scale', HTMLElement).hidden = !explained.checked || jobs.every((job) => ofJob(job).length === 0);
  for (const job of jobs) {
    const { picture, img } = job;
    const all = explained.checked ? ofJob(job) : [];
    // A click on a class must not lose the focus.
    if (all.length > 0 && picture.querySelector('canvas')) {
      void drawInto(job, all, scale);
      continue;
    }
    picture.replaceChildren(img);
    img.hidden = all.length > 0;
    if (all.length === 0) continue;
    const canvas = make('canvas');
    canvas.setAttribute('role', 'img');
    const labels = all.map(({ label }) => label);
    const classes = classButtons(labels, (n) => {
      job.shown = n;
      drawAll();
    });
    picture.append(canvas, classes);
    void drawInto(job, all, scale);
  }
}

async function drawInto({ picture, img, shown }: Job, all: readonly Explanation[], scale: number): Promise<void> {
  const canvas = picture.querySelector('canvas');
  const explanation = all[shown];
  // What the browser cannot show has no heat map either.
  const isLoaded = await img.decode().then(
    () => true,
    () => false,
  );
  if (!canvas || !explanation || !isLoaded) return;
  const { shares, region, label } = explanation;
  markClass(picture, shown);
  canvas.setAttribute('aria-label', `Where ${label} was seen`);
  drawHeat(canvas, img, ({ width, height }) => {
    const [across, down] = [width / img.naturalWidth, height / img.naturalHeight];
    const { left, top } = region;
    return {
      shares,
      scale,
      region: { left: left * across, top: top * down, width: region.width * across, height: region.height * down },
    };
  });
}

function show({ file, picture, img, answer }: Job, outcome: Result | { error: string }): void {
  if ('error' in outcome) {
    picture.hidden = true;
    replace(answer, make('p', outcome.error, 'failed'));
    return;
  }
  // Not before: the browser may show what the server refuses. It cannot show all that the server reads, either.
  img.addEventListener('error', () => {
    picture.hidden = true;
  });
  if (img.src === '') img.src = URL.createObjectURL(file);
  showResult(answer, outcome);
}

function showResult(answer: Element, { predictions, typicality, unknown, labels, similar = [] }: Result): void {
  const best = labels ? labels.join(', ') || 'None of the labels' : predictions[0]?.label;
  const bars = make('ul', undefined, 'bars');
  predictions.forEach(({ label, probability }, i) => {
    const isGiven = labels ? labels.includes(label) : i === 0;
    const fill = make('i');
    fill.style.width = `${100 * probability}%`;
    const bar = make('div', undefined, 'bar');
    bar.append(fill);
    const item = make('li', undefined, isGiven ? 'given' : '');
    item.append(make('span', label), make('b', percent(probability)), bar);
    bars.append(item);
  });
  replace(answer, make('p', unknown ? 'Unlike the training pictures' : best, 'verdict'));
  const typical = typeof typicality === 'number' ? `Typicality ${typicality.toFixed(3)}` : '';
  if (unknown) answer.append(make('p', `${typical}. Best guess: ${best}`, 'note'));
  answer.append(bars);
  if (!unknown && typical) answer.append(make('small', typical));
  if (similar.length === 0) return;
  const list = make('ul', undefined, 'similar');
  list.append(...similar.map(similarPicture));
  answer.append(make('h3', 'The most similar pictures of the data set'), list);
}

function similarPicture({ id, path, label, labels, similarity }: SimilarPicture): Element {
  const item = make('li');
  const name = (labels ? labels.join(', ') : label) || 'no label';
  const img = make('img');
  img.alt = '';
  void loadThumbnail(img, id);
  item.append(img, make('b', name), make('small', `cosine ${similarity.toFixed(3)}`), make('small', path));
  return item;
}

async function loadThumbnail(img: HTMLImageElement, id: string): Promise<void> {
  const response = await request(`v1/pictures/${id}/thumbnail`);
  if (response.ok) img.src = URL.createObjectURL(await response.blob());
}

/** Replaces all but the file's name. */
function replace(answer: Element, content: Element): void {
  answer.replaceChildren(...[...answer.children].slice(0, 1), content);
}

function request(path: string, options: RequestInit = {}): Promise<Response> {
  const headers = new Headers(options.headers);
  if (key !== '') headers.set('Authorization', `Bearer ${key}`);
  return fetch(path, { ...options, headers });
}
