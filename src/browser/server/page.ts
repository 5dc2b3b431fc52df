/** Sends the pictures that are dropped, chosen or pasted to the server, a few at a time, and shows the answers. */
import { htmlPercent as percent } from '../../util/format.js';
import { find, make } from '../dom.js';

const CONCURRENCY = 3;

/** What the page reads of `/v1/heads`. */
interface HeadsAnswer {
  heads: { name: string; labels: string[] }[];
  similar: boolean;
}

/** What the page reads of `/v1/heads/:name/classify`. */
interface ClassifyAnswer {
  results?: Result[];
  error?: { message: string };
}

interface Result {
  /** Best first. */
  predictions: { label: string; probability: number }[];
  unknown?: boolean;
  /** Of a multi-label head: those that the picture is given. */
  labels?: string[];
  similar?: SimilarPicture[];
}

interface SimilarPicture {
  id: string;
  label: string | null;
  labels?: string[];
  similarity: number;
}

/** A picture that waits for its answer, and where the answer goes. */
interface Job {
  file: File;
  head: string;
  answer: Element;
}

const access = find('access', HTMLFormElement);
const keyField = find('key', HTMLInputElement);
const about = find('about', HTMLElement);
const ask = find('ask', HTMLElement);
const choice = find('head', HTMLSelectElement);
const drop = find('drop', HTMLElement);
const results = find('results', HTMLElement);

let key = sessionStorage.getItem('key') ?? '';
let hasSimilar = false;
const queue: Job[] = [];
let [running, asked, done] = [0, 0, 0];

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
  } catch {
    about.textContent = 'The server is not responding.';
  }
}

function offer(heads: HeadsAnswer['heads']): void {
  find('choice', HTMLElement).hidden = heads.length < 2;
  choice.replaceChildren(...heads.map(({ name }) => new Option(name, name)));
  choice.onchange = () => {
    const labels = heads.find(({ name }) => name === choice.value)?.labels ?? [];
    const shown = labels.slice(0, 12).join(', ');
    about.textContent = labels.length > 12 ? `${shown} … ${labels.length} classes in all` : shown;
  };
  choice.dispatchEvent(new Event('change'));
}

function add(files: FileList | null | undefined): void {
  if (ask.hidden || !files) return;
  asked += files.length;
  results.prepend(
    ...[...files].map((file) => {
      const card = make('li');
      const img = make('img');
      img.src = URL.createObjectURL(file);
      img.alt = '';
      img.addEventListener('error', () => {
        img.hidden = true;
      });
      const answer = make('div', undefined, 'answer');
      answer.append(make('h2', file.name), make('p', 'Waiting …', 'waiting'));
      card.append(img, answer);
      queue.push({ file, answer, head: choice.value });
      return card;
    }),
  );
  for (let i = 0; i < CONCURRENCY; i++) void advance();
}

async function advance(): Promise<void> {
  const job = running < CONCURRENCY ? queue.shift() : undefined;
  if (!job) return;
  running++;
  await classify(job);
  running--;
  done++;
  find('status', HTMLElement).textContent = `${done} of ${asked} ${asked === 1 ? 'picture' : 'pictures'}`;
  void advance();
}

async function classify(job: Job): Promise<void> {
  try {
    const { results: [result] = [], error } = await send(job);
    if (result) show(job.answer, result);
    else fail(job.answer, error?.message ?? 'The server sent no result.');
  } catch {
    fail(job.answer, 'The server is not responding.');
  }
}

/** Sends a picture, again and again while the server has too much to do. */
async function send({ file, head }: Job): Promise<ClassifyAnswer> {
  const query = hasSimilar ? '?topK=5&similar=6' : '?topK=5';
  for (;;) {
    const response = await request(`v1/heads/${encodeURIComponent(head)}/classify${query}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/octet-stream' },
      body: file,
    });
    if (response.status !== 429) return (await response.json()) as ClassifyAnswer;
    const seconds = Number(response.headers.get('Retry-After')) || 1;
    await new Promise((resume) => setTimeout(resume, 1000 * seconds));
  }
}

function show(answer: Element, { predictions, unknown, labels, similar = [] }: Result): void {
  const verdict = labels ? labels.join(', ') || 'None of the labels' : predictions[0]?.label;
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
  replace(answer, make('p', verdict, 'verdict'));
  if (unknown) answer.append(make('p', 'Probably none of the classes; this is the best guess.', 'note'));
  answer.append(bars);
  if (similar.length === 0) return;
  const list = make('ul', undefined, 'similar');
  list.append(...similar.map(similarPicture));
  answer.append(make('h3', 'The most similar pictures of the data set'), list);
}

function similarPicture({ id, label, labels, similarity }: SimilarPicture): Element {
  const item = make('li');
  const name = (labels ? labels.join(', ') : label) || 'no label';
  const img = make('img');
  img.alt = '';
  void loadThumbnail(img, id);
  item.append(img, make('b', name), make('small', `cosine ${similarity.toFixed(3)}`));
  return item;
}

async function loadThumbnail(img: HTMLImageElement, id: string): Promise<void> {
  const response = await request(`v1/pictures/${id}/thumbnail`);
  if (response.ok) img.src = URL.createObjectURL(await response.blob());
}

function fail(answer: Element, message: string): void {
  replace(answer, make('p', message, 'failed'));
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
