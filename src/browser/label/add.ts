/** Files and folders that the user drops on the page or picks. */
import { signal } from '@preact/signals';
import type { AddAnswer } from '../../label/protocol.js';
import { quantity } from '../../util/format.js';
import { make } from '../dom.js';
import { addPictures, complain, Refusal, say } from './server.js';
import { progress } from './state.js';
import { dialog, type DroppedFile } from './ui.js';

/** Which label the added pictures have. */
export type Naming = { kind: 'none' } | { kind: 'folders' } | { kind: 'label'; label: string };

/** Files of one request, which is one step of undo. */
const BATCH = 100;

/** Files that systems put beside pictures. */
const HIDDEN = /^(\.|Thumbs\.db$|desktop\.ini$)/;

/** Whether files are held over the page. */
export const isOver = signal(false);

export function listenForDrops(): void {
  // A drag enters each element on its way before it leaves the last.
  let depth = 0;
  const hasFiles = ({ dataTransfer }: DragEvent) => dataTransfer?.types.includes('Files') === true;
  document.addEventListener('dragenter', (event) => {
    if (!hasFiles(event)) return;
    depth++;
    isOver.value = true;
  });
  document.addEventListener('dragleave', (event) => {
    if (hasFiles(event) && --depth <= 0) isOver.value = false;
  });
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    depth = 0;
    isOver.value = false;
    if (event.dataTransfer) dropped(event.dataTransfer).then(offer, cannotRead);
  });
  document.addEventListener('paste', ({ clipboardData }) => {
    if (clipboardData && clipboardData.files.length > 0) {
      offer([...clipboardData.files].map((file) => ({ file, folder: undefined })));
    }
  });
}

export function pickFiles(): void {
  const input = make('input');
  input.type = 'file';
  input.multiple = true;
  input.accept = 'image/*';
  input.addEventListener('change', () => {
    offer([...(input.files ?? [])].map((file) => ({ file, folder: undefined })));
  });
  input.click();
}

function offer(files: readonly DroppedFile[]): void {
  const shown = files.filter(({ file }) => !HIDDEN.test(file.name));
  if (shown.length > 0) dialog.value = { kind: 'add', files: shown };
}

function cannotRead(error: unknown): void {
  complain(`What was dropped cannot be read: ${error instanceof Error ? error.message : String(error)}`);
}

/** All files of a drop, those in folders, too. */
async function dropped({ items, files }: DataTransfer): Promise<DroppedFile[]> {
  // They are gone once this function has waited.
  const entries = [...items].map((item) => item.webkitGetAsEntry());
  const plain = [...files];
  if (entries.every((entry) => entry === null)) return plain.map((file) => ({ file, folder: undefined }));
  const whole = entries.filter((entry) => entry !== null).map((entry) => filesOf(entry, undefined));
  return (await Promise.all(whole)).flat();
}

async function filesOf(entry: FileSystemEntry, folder: string | undefined): Promise<DroppedFile[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => {
      (entry as FileSystemFileEntry).file(resolve, reject);
    });
    return [{ file, folder }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: DroppedFile[] = [];
  for (;;) {
    // It gives them by the hundred, and none at the end.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (some.length === 0) return found;
    for (const one of some) found.push(...(await filesOf(one, entry.name)));
  }
}

/** Sends files to the server, a few at a time, and says what came of it. */
export async function addFiles(files: readonly DroppedFile[], naming: Naming): Promise<void> {
  const byLabel = Map.groupBy(files, ({ folder }) =>
    naming.kind === 'label' ? naming.label : naming.kind === 'folders' ? folder : undefined,
  );
  const refused: AddAnswer['refused'][number][] = [];
  let [sent, added] = [0, 0];
  for (const [label, some] of byLabel) {
    for (let at = 0; at < some.length; at += BATCH) {
      const batch = some.slice(at, at + BATCH).map(({ file }) => file);
      progress.value = { task: 'Adding pictures', done: sent, total: files.length };
      try {
        const answer = await addPictures(batch, label);
        added += answer.pictures.length;
        refused.push(...answer.refused);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        refused.push(...batch.map(({ name }) => ({ name, reason: error.message })));
      }
      sent += batch.length;
    }
  }
  progress.value = undefined;
  say(`${quantity(added, 'picture')} added.`);
  if (refused.length > 0) dialog.value = { kind: 'refused', added, refused };
}
