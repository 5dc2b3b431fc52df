/** What of the page is open, besides the view: dialogs and panels. */
import { signal } from '@preact/signals';
import type { AddAnswer } from '../../label/protocol.js';

type Dialog =
  | { kind: 'help' }
  | { kind: 'label' }
  | { kind: 'new class' }
  | { kind: 'rename'; name: string }
  | { kind: 'add'; files: readonly DroppedFile[] }
  | { kind: 'refused'; added: number; refused: AddAnswer['refused'] }
  | { kind: 'save' };

/** A file that the user brings. */
export interface DroppedFile {
  file: File;
  /** The folder that it lies in, if it came with one. */
  folder: string | undefined;
}

export const dialog = signal<Dialog | undefined>(undefined);
export const isFilterOpen = signal(false);
/** On small screens, they lie over the pictures. */
export const isSidebarOpen = signal(false);
export const isClassifierOpen = signal(true);
