/** What asks or tells before the user goes on: help, the choice of a class, names, added files, and what was saved. */
import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { AddAnswer, SaveAnswer } from '../../label/protocol.js';
import { count, htmlPercent as percent, quantity } from '../../util/format.js';
import { addClass, label, renameClass } from './actions.js';
import { addFiles, type Naming } from './add.js';
import { Dot } from './words.js';
import { COMMANDS, keyWords } from './keyboard.js';
import { save } from './server.js';
import * as state from './state.js';
import { dialog, type DroppedFile } from './ui.js';

export function Dialogs() {
  const open = dialog.value;
  switch (open?.kind) {
    case undefined:
      return null;
    case 'help':
      return <Help />;
    case 'label':
      return <ChooseLabel />;
    case 'new class':
      return <NewClass />;
    case 'rename':
      return <Rename name={open.name} />;
    case 'add':
      return <AddFiles files={open.files} />;
    case 'refused':
      return <Refused added={open.added} refused={open.refused} />;
    case 'save':
      return <Save />;
  }
}

function Modal({ title, wide = false, children }: { title: string; wide?: boolean; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null);
  // Before the next key, which is for the dialog.
  useLayoutEffect(() => {
    const found = element.current;
    const before = document.activeElement;
    found?.showModal();
    return () => {
      // The keyboard goes on where it was.
      if (before instanceof HTMLElement && before.isConnected && before !== document.body) before.focus();
      else document.getElementById('grid')?.focus();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={wide ? 'wide' : ''}
      aria-labelledby="dialog-title"
      // Of Escape, at once: the next key is for the pictures.
      onCancel={close}
      onClose={() => {
        // It may come when the next dialog is open.
        if (element.current) close();
      }}
      onClick={({ target, currentTarget }) => {
        if (target === currentTarget) close();
      }}
    >
      <div class="inside">
        <header>
          <h2 id="dialog-title">{title}</h2>
          <button type="button" class="icon" aria-label="Close" onClick={close}>
            ×
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

function close(): void {
  dialog.value = undefined;
}

function Help() {
  const groups = [...new Set(COMMANDS.map(({ group }) => group))];
  return (
    <Modal title="Keys" wide>
      <div class="help">
        {groups.map((group) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>
              {COMMANDS.filter((command) => command.group === group).map(({ keys, does }) => (
                <div key={does}>
                  <dt>
                    {keyWords(keys).map((key) => (
                      <kbd key={key}>{key}</kbd>
                    ))}
                  </dt>
                  <dd>{does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <p class="note">
        Mouse: click, Ctrl and click, Shift and click, drag a band around pictures, double click for the large view.
        Touch: tap, press long to select, then tap for more.
      </p>
    </Modal>
  );
}

/** A class by the beginning or a part of its name; or a new one. */
function ChooseLabel() {
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const [about] = useState(state.targets);
  const wanted = text.trim().toLowerCase();
  const all = state.liveClasses.value;
  const found = [
    ...all.filter(({ name }) => name.toLowerCase().startsWith(wanted)),
    ...all.filter(({ name }) => name.toLowerCase().indexOf(wanted) > 0),
  ];
  const isNew = wanted !== '' && !all.some(({ name }) => name === text.trim());
  const number = found.length + Number(isNew);
  const current = Math.min(at, number - 1);
  const choose = (place: number) => {
    const name = found[place]?.name ?? (isNew ? text.trim() : undefined);
    if (name === undefined) return;
    close();
    label(name, about);
  };
  return (
    <Modal title={`Label ${quantity(about.length, 'picture')}`}>
      <input
        type="text"
        class="long"
        role="combobox"
        aria-expanded="true"
        aria-controls="found-classes"
        aria-activedescendant={number > 0 ? `found-${current}` : undefined}
        aria-label="Class"
        placeholder="Class"
        autoComplete="off"
        autofocus
        value={text}
        onInput={({ currentTarget }) => {
          setText(currentTarget.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          const by = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
          if (by !== 0) {
            event.preventDefault();
            setAt((current + by + number) % Math.max(number, 1));
          }
          if (event.key === 'Enter') choose(current);
        }}
      />
      <ul class="options" id="found-classes" role="listbox" aria-label="Classes">
        {found.map(({ name, index, count: pictures }, place) => (
          <Option key={index} id={`found-${place}`} isCurrent={place === current} onChoose={() => choose(place)}>
            <Dot index={index} />
            <span class="name">{name}</span>
            <span class="number">{count(pictures)}</span>
          </Option>
        ))}
        {isNew && (
          <Option
            id={`found-${found.length}`}
            isCurrent={current === found.length}
            onChoose={() => choose(found.length)}
          >
            <span class="name">New class “{text.trim()}”</span>
          </Option>
        )}
      </ul>
    </Modal>
  );
}

function Option({
  id,
  isCurrent,
  onChoose,
  children,
}: {
  id: string;
  isCurrent: boolean;
  onChoose: () => void;
  children: ComponentChildren;
}) {
  const element = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (isCurrent) element.current?.scrollIntoView({ block: 'nearest' });
  }, [isCurrent]);
  return (
    <li ref={element} id={id} role="option" aria-selected={isCurrent} onClick={onChoose}>
      {children}
    </li>
  );
}

function NewClass() {
  return (
    <NameForm
      title="New class"
      start=""
      button={() => 'Make it'}
      onName={(name) => void addClass(name)}
      isAllowed={(name) => !state.liveClasses.value.some((one) => one.name === name)}
      problem={(name) => `There is a class ${name} already.`}
    />
  );
}

function Rename({ name }: { name: string }) {
  const isOther = (to: string) => state.liveClasses.value.some((one) => one.name === to);
  return (
    <NameForm
      title={`Rename ${name}`}
      start={name}
      button={(to) => (isOther(to) && to !== name ? `Merge ${name} into ${to}` : 'Rename')}
      onName={(to) => void renameClass(name, to)}
      isAllowed={(to) => to !== name}
      note="The name of another class merges the two."
    />
  );
}

function NameForm({
  title,
  start,
  button,
  onName,
  isAllowed,
  problem,
  note,
}: {
  title: string;
  start: string;
  button: (name: string) => string;
  onName: (name: string) => void;
  isAllowed: (name: string) => boolean;
  problem?: (name: string) => string;
  note?: string;
}) {
  const [text, setText] = useState(start);
  const name = text.trim();
  const isGood = name !== '' && isAllowed(name);
  return (
    <Modal title={title}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!isGood) return;
          close();
          onName(name);
        }}
      >
        <input
          type="text"
          class="long"
          aria-label="Name"
          list="class-names"
          autoComplete="off"
          autofocus
          value={text}
          onInput={({ currentTarget }) => setText(currentTarget.value)}
        />
        <datalist id="class-names">
          {state.liveClasses.value.map((one) => (
            <option key={one.name} value={one.name} />
          ))}
        </datalist>
        <p class="note">{name !== '' && !isGood && problem ? problem(name) : note}</p>
        <div class="buttons">
          <button class="main" disabled={!isGood}>
            {button(name)}
          </button>
        </div>
      </form>
    </Modal>
  );
}

function AddFiles({ files }: { files: readonly DroppedFile[] }) {
  const folders = [...new Set(files.map(({ folder }) => folder).filter((folder) => folder !== undefined))];
  const [naming, setNaming] = useState<Naming>(folders.length > 0 ? { kind: 'folders' } : { kind: 'none' });
  return (
    <Modal title={`Add ${quantity(files.length, 'file')}`}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          close();
          void addFiles(files, naming);
        }}
      >
        <fieldset>
          <legend>Their label</legend>
          <Radio isChosen={naming.kind === 'none'} onChoose={() => setNaming({ kind: 'none' })}>
            none yet
          </Radio>
          {folders.length > 0 && (
            <Radio isChosen={naming.kind === 'folders'} onChoose={() => setNaming({ kind: 'folders' })}>
              the name of their folder: {folders.slice(0, 6).join(', ')}
              {folders.length > 6 && ` and ${folders.length - 6} more`}
            </Radio>
          )}
          {state.liveClasses.value.map(({ name, index }) => (
            <Radio
              key={index}
              isChosen={naming.kind === 'label' && naming.label === name}
              onChoose={() => setNaming({ kind: 'label', label: name })}
            >
              <Dot index={index} /> {name}
            </Radio>
          ))}
        </fieldset>
        <p class="note">They are copied into the data set’s folder. The files themselves stay as they are.</p>
        <div class="buttons">
          <button class="main">Add</button>
        </div>
      </form>
    </Modal>
  );
}

function Refused({ added, refused }: { added: number; refused: AddAnswer['refused'] }) {
  return (
    <Modal title={`${quantity(refused.length, 'file')} not added`}>
      <p>{added === 0 ? 'None was added.' : `${quantity(added, 'picture')} added; these were not:`}</p>
      <ul class="list">
        {refused.map(({ name, reason }) => (
          <li key={name}>
            <strong>{name}</strong>: {reason}
          </li>
        ))}
      </ul>
    </Modal>
  );
}

function Radio({
  isChosen,
  onChoose,
  children,
}: {
  isChosen: boolean;
  onChoose: () => void;
  children: ComponentChildren;
}) {
  return (
    <label class="check">
      <input type="radio" name="naming" checked={isChosen} onChange={onChoose} />
      <span>{children}</span>
    </label>
  );
}

/** Writes the manifest and the head, and says where they are and what they are good for. */
function Save() {
  const [answer, setAnswer] = useState<SaveAnswer>();
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    save().then(setAnswer, (error: unknown) => {
      setProblem(
        error instanceof TypeError ? 'The server is gone. Nothing is lost; save again when it is back.' : String(error),
      );
    });
  }, []);
  return (
    <Modal title={answer ? 'Saved' : 'Save'}>
      {!answer && !problem && <p>Writing …</p>}
      {problem !== undefined && <p class="problem">{problem}</p>}
      {answer && (
        <>
          <dl class="saved">
            <dt>Labels</dt>
            <dd>
              <code>{answer.manifest}</code>
            </dd>
            <dt>Classifier</dt>
            <dd>
              {answer.head ? (
                <>
                  <code>{answer.head.path}</code>
                  {answer.head.accuracy !== undefined && ` ${percent(answer.head.accuracy)} right`}
                </>
              ) : (
                answer.withoutHead
              )}
            </dd>
          </dl>
          <h3>What to run next</h3>
          <ul class="commands">
            {answer.next.map((command) => (
              <li key={command}>
                <code>{command}</code>
                <Copy text={command} />
              </li>
            ))}
          </ul>
          <p class="note">
            Each action was on disk before; this writes the files that other commands take. Your pictures are not
            changed.
          </p>
        </>
      )}
    </Modal>
  );
}

function Copy({ text }: { text: string }) {
  const [isCopied, setCopied] = useState(false);
  return (
    <button
      type="button"
      class="quiet"
      onClick={() => {
        void navigator.clipboard.writeText(text).then(() => setCopied(true));
      }}
    >
      {isCopied ? 'Copied' : 'Copy'}
    </button>
  );
}
