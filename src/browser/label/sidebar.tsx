/** The views, the queues with what is left in them, and the classes. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { QUEUES, type QueueName } from '../../label/protocol.js';
import { count } from '../../util/format.js';
import { open, openPictures, removeClass } from './actions.js';
import { Dot } from './words.js';
import { QUEUE_WORDS } from './places.js';
import * as state from './state.js';
import { dialog, isSidebarOpen } from './ui.js';
import { ALL, isSameFilter, START, type Filter } from './view.js';

export function Sidebar() {
  const { all, unlabelled, leftOut } = state.counts.value;
  const names = state.session.value?.dataset.split(/[\\/]/).filter((part) => part !== '');
  return (
    <nav class={isSidebarOpen.value ? 'sidebar open' : 'sidebar'} aria-label="Views">
      <p class="dataset" title={state.session.value?.dataset}>
        {names?.at(-1)}
        <small>{state.session.value?.model}</small>
      </p>
      <ul>
        <PicturesItem filter={{}} number={all}>
          All pictures
        </PicturesItem>
        <PicturesItem filter={{ state: 'not labelled' }} number={unlabelled}>
          Not labelled
        </PicturesItem>
        <PicturesItem filter={{ state: 'left out' }} number={leftOut}>
          Left out
        </PicturesItem>
      </ul>
      <h2>Queues</h2>
      <ul>
        {QUEUES.map((name) => (
          <QueueItem key={name} name={name} />
        ))}
      </ul>
      <h2>
        Classes
        <button type="button" class="quiet" onClick={() => (dialog.value = { kind: 'new class' })} title="n">
          New
        </button>
      </h2>
      <ol class="classes">
        {state.liveClasses.value.map(({ name, index, count: number }, place) => (
          <ClassItem key={index} name={name} index={index} number={number} place={place} />
        ))}
      </ol>
      <h2>Add</h2>
      <ul>
        <Item isCurrent={state.view.value.place === 'camera'} onOpen={() => open({ ...START, place: 'camera' })}>
          Camera
        </Item>
      </ul>
    </nav>
  );
}

function PicturesItem({ filter, number, children }: { filter: Partial<Filter>; number: number; children: string }) {
  const { place, filter: shown } = state.view.value;
  return (
    <Item
      isCurrent={place === 'pictures' && isSameFilter(shown, { ...ALL, ...filter })}
      number={number}
      onOpen={() => openPictures(filter)}
    >
      {children}
    </Item>
  );
}

/** Pictures left in a queue. Some the page knows itself; the others when the queue has been asked for. */
function numberIn(name: QueueName): number | null | undefined {
  if (name === 'next' || name === 'clusters') return state.counts.value.unlabelled;
  return name === 'accept' ? state.acceptable.value : state.queueCounts.value[name];
}

function QueueItem({ name }: { name: QueueName }) {
  return (
    <Item
      isCurrent={state.view.value.place === name}
      number={numberIn(name)}
      onOpen={() => open({ ...START, place: name })}
    >
      {QUEUE_WORDS[name].name}
    </Item>
  );
}

function Item({
  isCurrent,
  number,
  onOpen,
  children,
}: {
  isCurrent: boolean;
  number?: number | null | undefined;
  onOpen: () => void;
  children: ComponentChildren;
}) {
  return (
    <li>
      <button
        type="button"
        class="item"
        aria-current={isCurrent ? 'page' : undefined}
        onClick={() => {
          isSidebarOpen.value = false;
          onOpen();
        }}
      >
        <span class="name">{children}</span>
        <span class="number">{typeof number === 'number' ? count(number) : ''}</span>
      </button>
    </li>
  );
}

function ClassItem({ name, index, number, place }: { name: string; index: number; number: number; place: number }) {
  const [isOpen, setOpen] = useState(false);
  const { place: shown, filter } = state.view.value;
  const isCurrent = shown === 'pictures' && filter.label === name;
  return (
    <li
      class="class-item"
      onFocusOut={({ currentTarget, relatedTarget }) => {
        if (!currentTarget.contains(relatedTarget as Node | null)) setOpen(false);
      }}
    >
      <button
        type="button"
        class="item"
        aria-current={isCurrent ? 'page' : undefined}
        title={`Show the pictures labelled ${name}`}
        onClick={() => {
          isSidebarOpen.value = false;
          openPictures({ label: name });
        }}
      >
        <kbd>{place < 9 ? place + 1 : ''}</kbd>
        <Dot index={index} />
        <span class="name">{name}</span>
        <span class="number">{count(number)}</span>
      </button>
      <button
        type="button"
        class="more"
        aria-label={`Change the class ${name}`}
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
      >
        ⋯
      </button>
      {isOpen && (
        <div class="menu">
          <button
            type="button"
            onClick={() => {
              setOpen(false);
              dialog.value = { kind: 'rename', name };
            }}
          >
            Rename or merge …
          </button>
          <button
            type="button"
            onClick={() => {
              setOpen(false);
              removeClass(name);
            }}
          >
            Remove; {number === 1 ? '1 picture loses' : `${count(number)} pictures lose`} this label
          </button>
        </div>
      )}
    </li>
  );
}
