/** Talks with the server: sends what the user does, in order and until it is answered, and takes over what the server says. */
import type {
  AcceptPreview,
  Action,
  ActionAnswer,
  ActionBody,
  AddAnswer,
  FindingsAnswer,
  LabelEvent,
  PictureId,
  Queue,
  QueueName,
  SaveAnswer,
  Session,
  SimilarAnswer,
  Suggestions,
} from '../../label/protocol.js';
import { sentence } from '../../util/format.js';
import * as state from './state.js';
import { isQueue, isSameView } from './view.js';

const RETRY_MS = 1000;
const SIMILAR_COUNT = 200;
/** The status of the answer to a wrong token or start. */
const WRONG_SECRET = 401;
/** Between two requests for the suggestions, or for the queue that is shown. */
const PAUSE_MS = 400;
/** Without a change, until the pictures are checked for findings; and up to how many pictures that is done unasked. */
const [IDLE_MS, MOST_CHECKED] = [3000, 20_000];

const token = new URLSearchParams(location.search).get('token') ?? '';

/** What the server answers to a request that it does not fulfil. */
export class Refusal extends Error {
  override readonly name = 'Refusal';

  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** @throws {Refusal} @throws TypeError if the server does not answer at all, or was started anew since it gave the data */
async function request<T>(path: string, options: RequestInit = {}): Promise<T> {
  const headers = new Headers(options.headers);
  headers.set('X-Start', state.start);
  try {
    return await ask<T>(path, { ...options, headers });
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== WRONG_SECRET) throw error;
    // Another server answers. What was to be done waits until it is known which.
    lose();
    void connect();
    throw new TypeError(error.message, { cause: error });
  }
}

/** @throws {Refusal} @throws TypeError if the server does not answer at all */
async function ask<T>(path: string, options?: RequestInit): Promise<T> {
  const response = await fetch(path, options);
  const answer = (await response.json().catch(() => ({}))) as T & { error?: { message?: string } };
  if (response.ok) return answer;
  throw new Refusal(response.status, answer.error?.message ?? `The server answered ${response.status}.`);
}

/** @throws {Refusal} if what answers where the server was does not know the token, and so must not get it */
async function askProof(port: number): Promise<void> {
  const nonce = crypto.randomUUID();
  const { proof } = await ask<{ proof?: string }>(`api/proof?nonce=${nonce}`);
  const [secret, text] = [token, `${nonce} ${port}`].map((each) => new TextEncoder().encode(each)) as [
    Uint8Array<ArrayBuffer>,
    Uint8Array<ArrayBuffer>,
  ];
  const key = await crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  const right = new Uint8Array(await crypto.subtle.sign('HMAC', key, text));
  if (proof !== Array.from(right, (byte) => byte.toString(16).padStart(2, '0')).join('')) {
    throw new Refusal(WRONG_SECRET, 'Another program answers where the server was.');
  }
}

export function thumbnailUrl(id: PictureId): string {
  return `thumbnails/${id}?${query()}`;
}

export function pictureUrl(id: PictureId): string {
  return `pictures/${id}?${query()}`;
}

/** What headers say in other requests. */
function query(): string {
  return `start=${encodeURIComponent(state.start)}`;
}

// The connection.

let events: EventSource | undefined;
/** Requests that wait until the server is there again. */
const whenOpen: (() => void)[] = [];

let connecting: Promise<void> | undefined;

/** Gets all data, and again whenever the connection was lost; then follows the events. Returns when the page is filled. */
export function connect(): Promise<void> {
  return (connecting ??= reconnect().finally(() => (connecting = undefined)));
}

async function reconnect(): Promise<void> {
  events?.close();
  for (;;) {
    try {
      if (state.session.value) await askProof(state.session.value.port);
      const renumber = state.takeSession(await ask<Session>('api/session', { headers: { 'X-Token': token } }));
      if (renumber) for (const body of unanswered) body.action = renumbered(body.action, renumber);
      break;
    } catch (error) {
      // It may be that of other labels, until that of these comes back.
      if (error instanceof Refusal && error.status < 500) state.connection.value = 'refused';
      else lose();
      await new Promise((resume) => setTimeout(resume, RETRY_MS));
    }
  }
  state.connection.value = 'open';
  for (const resume of whenOpen.splice(0)) resume();
  follow();
  suggestions.ask();
  checkWhenIdle();
  void load();
}

function lose(): void {
  if (state.connection.value !== 'open') return;
  state.connection.value = 'lost';
  state.progress.value = undefined;
}

function follow(): void {
  const source = new EventSource(`api/events?since=${state.seq}&${query()}`);
  events = source;
  source.onmessage = ({ data }: MessageEvent<string>) => {
    take(JSON.parse(data) as LabelEvent);
  };
  source.onerror = () => {
    if (events !== source) return;
    lose();
    void connect();
  };
}

function take(event: LabelEvent): void {
  switch (event.kind) {
    case 'change':
    case 'added':
      if (!state.takeChange(event)) {
        void connect();
        return;
      }
      if (!ownIds.has(event.id)) say(`In another tab: ${event.done}.`);
      if (steps.has(event.id) && event.kind === 'change') state.uncover(event.pictures);
      shownQueue.ask();
      checkWhenIdle();
      break;
    case 'reset':
      void connect();
      break;
    case 'classifier':
      state.classifier.value = event.classifier;
      if (event.classifier.version !== suggestedBy) suggestions.ask();
      break;
    case 'progress':
      state.progress.value = event.done < event.total ? event : undefined;
  }
}

/** Asks for something again when it may have changed: not twice at once, and not all the time. */
class Refresher {
  #wishes = 0;

  constructor(readonly get: () => Promise<void>) {}

  ask(): void {
    if (++this.#wishes === 1) void this.#run();
  }

  async #run(): Promise<void> {
    for (let heard = 0; heard < this.#wishes;) {
      heard = this.#wishes;
      try {
        await this.get();
      } catch (error) {
        if (error instanceof Refusal) complain(error.message);
        // Else the connection is lost, and all comes anew with the next.
      }
      await new Promise((resume) => setTimeout(resume, PAUSE_MS));
    }
    this.#wishes = 0;
  }
}

let suggestedBy = -1;

const suggestions = new Refresher(async () => {
  if (state.classifier.value?.version === 0) return;
  const got = await request<Suggestions>('api/suggestions');
  suggestedBy = got.version;
  state.takeSuggestions(got);
  shownQueue.ask();
});

const shownQueue = new Refresher(async () => {
  const { place } = state.view.value;
  if (place === 'accept') await askPreview();
  else if (isQueue(place)) await askQueue(place);
  else if (showsFindings()) await askFindings();
});

function showsFindings(): boolean {
  const { place, filter } = state.view.value;
  return place === 'pictures' && filter.finding !== undefined;
}

async function askFindings(): Promise<void> {
  state.takeFindings(await request<FindingsAnswer>('api/findings'));
}

async function askQueue(name: QueueName): Promise<void> {
  const asked = state.seq;
  state.takeQueue(await request<Queue>(`api/queues/${name}`), asked);
}

let idle: ReturnType<typeof setTimeout> | undefined;

/** Asks what may be wrong with pictures, which takes the server some work, once the user rests. */
function checkWhenIdle(): void {
  clearTimeout(idle);
  if (state.pictures().count > MOST_CHECKED) return;
  idle = setTimeout(() => {
    askFindings().catch(() => {
      // It is asked again after the next change, or when the connection is back.
    });
  }, IDLE_MS);
}

/** Gets from the server what the view that was opened shows. */
export async function load(): Promise<void> {
  const opened = state.view.value;
  try {
    if (opened.place === 'accept') await askPreview();
    else if (isQueue(opened.place)) await askQueue(opened.place);
    else if (opened.place === 'similar') {
      const found = await request<SimilarAnswer>(`api/similar/${opened.to!}?count=${SIMILAR_COUNT}`);
      if (isSameView(opened, state.view.value)) state.takeSimilar(found);
    } else if (showsFindings() && !state.pictures().isChecked) await askFindings();
  } catch (error) {
    if (error instanceof Refusal) complain(error.message);
  }
}

let asked = 0;

/** Asks what would be accepted; only the last answer counts. */
export async function askPreview(): Promise<void> {
  const mine = ++asked;
  const { above, label } = state.acceptance.value;
  const query = new URLSearchParams({ above: String(above), ...(label !== undefined && { label }) });
  const found = await request<AcceptPreview>(`api/accept?${query.toString()}`);
  if (mine === asked && state.view.value.place === 'accept') state.takePreview(found);
}

// What the user does.

/** Ids of the actions of this page. */
const ownIds = new Set<string>();
/** Actions that the server has not answered yet. */
const unanswered = new Set<ActionBody>();
/** Those of them that went a step back or forth. */
const steps = new Set<string>();
let sending: Promise<unknown> = Promise.resolve();

/**
 * Sends an action after those before it. If the connection is lost, it is sent again when it is back; its id tells the server
 * that it is the same.
 * @returns what was done, in words; undefined if the server refused
 */
export function act(action: Action): Promise<string | undefined> {
  const body = { action, id: crypto.randomUUID() };
  ownIds.add(body.id);
  if (action.kind === 'undo' || action.kind === 'redo') steps.add(body.id);
  state.waiting.value++;
  unanswered.add(body);
  const sent = sending.then(() => send(body));
  sending = sent;
  return sent;
}

/** An action about pictures that have other numbers now. */
function renumbered(action: Action, renumber: state.Renumber): Action {
  if (!('pictures' in action)) return action;
  return { ...action, pictures: action.pictures.flatMap((id) => renumber(id) ?? []) };
}

async function send(body: ActionBody): Promise<string | undefined> {
  try {
    const { done } = await untilAnswered(() => {
      if ('pictures' in body.action && body.action.pictures.length === 0) {
        throw new Refusal(410, 'The pictures of the last action are no longer there.');
      }
      return request<ActionAnswer>('api/actions', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      });
    });
    say(`${done}.`);
    return done;
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
    return undefined;
  } finally {
    unanswered.delete(body);
    state.waiting.value--;
  }
}

/** @throws {Refusal} */
async function untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof Refusal && error.status !== 503) throw error;
      await new Promise((resume) => setTimeout(resume, RETRY_MS));
      if (state.connection.value !== 'open') await new Promise<void>((resume) => whenOpen.push(resume));
    }
  }
}

/** Adds pictures to the data set, with a label or without. If the connection is lost, they are sent again when it is back. @throws {Refusal} */
export function addPictures(files: readonly File[], label: string | undefined): Promise<AddAnswer> {
  const id = crypto.randomUUID();
  ownIds.add(id);
  const query = new URLSearchParams({ id, ...(label !== undefined && { label }) });
  const form = new FormData();
  for (const file of files) form.append('file', file, file.name);
  return untilAnswered(() => request<AddAnswer>(`api/pictures?${query.toString()}`, { method: 'POST', body: form }));
}

/** Writes the manifest and the head. @throws {Refusal} @throws TypeError if the connection is lost */
export function save(): Promise<SaveAnswer> {
  return request<SaveAnswer>('api/save', { method: 'POST' });
}

export function say(text: string): void {
  state.message.value = { text: sentence(text), kind: 'done' };
}

export function complain(text: string): void {
  state.message.value = { text, kind: 'problem' };
}
