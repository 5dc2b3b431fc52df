/** The page on which people label: it draws the state, listens, and keeps the address's hash in step with the view. */
import { effect } from '@preact/signals';
import { render } from 'preact';
import { quantity } from '../../util/format.js';
import { find } from '../dom.js';
import { AcceptPanel } from './accept-panel.js';
import { isOver, listenForDrops } from './add.js';
import { CameraView } from './camera-view.js';
import { ClassifierPanel } from './classifier-panel.js';
import { Dialogs } from './dialogs.js';
import { Grid } from './grid.js';
import { keepFocus, listenForKeys } from './keyboard.js';
import { LabelBar, StatusLine } from './label-bar.js';
import { Large } from './large.js';
import { QUEUE_WORDS } from './places.js';
import { connect, load } from './server.js';
import { Sidebar } from './sidebar.js';
import * as state from './state.js';
import { Filters, Toolbar } from './toolbar.js';
import { isClassifierOpen, isSidebarOpen } from './ui.js';
import { fromHash, toHash } from './view.js';

/** The address is written once the user rests, as browsers let pages do it only so often. */
const REST_MS = 250;
/** The classifier has its own column from this width on. */
const WIDE = '(min-width: 1200px)';

function App() {
  if (state.connection.value === 'refused') return <Refused />;
  if (!state.session.value) return <Loading />;
  const { place } = state.view.value;
  return (
    <>
      <Sidebar />
      {isSidebarOpen.value && <div class="shade" onClick={() => (isSidebarOpen.value = false)} />}
      <main>
        <Toolbar />
        <Filters />
        <About />
        {place === 'accept' && <AcceptPanel />}
        <div class="stage-of-view">
          {place === 'camera' ? (
            <CameraView />
          ) : (
            <div class="below" inert={state.isLarge.value}>
              <Grid />
            </div>
          )}
          {state.isLarge.value && place !== 'camera' && <Large />}
        </div>
        <LabelBar />
        <StatusLine />
      </main>
      <ClassifierPanel />
      <Dialogs />
      {isOver.value && <div class="drop">Drop pictures and folders to add them</div>}
    </>
  );
}

/** What one does in this queue. */
function About() {
  const { place } = state.view.value;
  if (place === 'pictures' || place === 'similar' || place === 'camera') return null;
  return <p class="about-view">{QUEUE_WORDS[place].does}</p>;
}

function Loading() {
  return (
    <main class="alone" role="status">
      <p>
        {state.connection.value === 'lost'
          ? 'The server does not answer. This page goes on when it does.'
          : 'Opening the pictures …'}
      </p>
    </main>
  );
}

function Refused() {
  const waiting = state.waiting.value;
  return (
    <main class="alone">
      <h1>This is not the address of these labels</h1>
      <p>
        Open the address that the server has printed. If other labels are worked on at this address now, this page goes
        on when the server of its own is back. What it has shown as done is not lost
        {waiting > 0 && `; ${quantity(waiting, 'action')} will be sent then`}.
      </p>
    </main>
  );
}

function keepHash(): void {
  let rest: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const hash = toHash(state.situation());
    clearTimeout(rest);
    rest = setTimeout(() => {
      history.replaceState(null, '', hash === '' ? location.pathname + location.search : `#${hash}`);
    }, REST_MS);
  });
  window.addEventListener('hashchange', () => {
    state.restore(fromHash(location.hash));
    void load();
  });
}

state.restore(fromHash(location.hash));
isClassifierOpen.value = matchMedia(WIDE).matches;
keepHash();
listenForKeys();
keepFocus();
listenForDrops();
render(<App />, find('app', HTMLElement));
void connect();
