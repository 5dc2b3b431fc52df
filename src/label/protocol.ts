/**
 * What the label page (`src/browser/label`) and its server say to each other. The server holds the truth. The page holds a copy
 * of it, column by column, filters and sorts that copy itself, and changes it only by what the server's events say.
 *
 * Every request carries the token, which stays the same for the same labels, as the header `X-Token` or as `?token=`; or else, as
 * `X-Start` or `?start=`, the {@link Session.start} that the server has told who knew the token. With both, it is refused, 409
 * `restarted`, if the server was started anew since, as numbers of pictures may mean others now.
 *
 * The page sends the token only with its own address and to ask for the session. While the server is down, another program may take
 * its port: so before the page asks for the session again, the server has to prove by an HMAC of a nonce that it knows the token.
 *
 * | request                          | body                | answer                                            |
 * | -------------------------------- | ------------------- | ------------------------------------------------- |
 * | `GET /api/proof?nonce=TEXT`      |                     | `{ proof }`, see `proofOf`; needs no token        |
 * | `GET /api/session`               |                     | {@link Session}, with all pictures                |
 * | `GET /api/events?since=SEQ`      |                     | server-sent {@link LabelEvent}s, from SEQ on      |
 * | `POST /api/actions`              | {@link ActionBody}  | {@link ActionAnswer}, once it is on disk          |
 * | `GET /api/suggestions`           |                     | {@link Suggestions}                               |
 * | `GET /api/queues/NAME?count=N`   |                     | {@link Queue}; `accept`, too: `?label=&above=P`   |
 * | `GET /api/findings`              |                     | {@link FindingsAnswer}                            |
 * | `GET /api/accept?label=&above=P` |                     | {@link AcceptPreview}                             |
 * | `GET /api/similar/ID?count=N`    |                     | {@link SimilarAnswer}, the most similar first     |
 * | `GET /thumbnails/ID`             |                     | WebP, 256 pixels on its longer side               |
 * | `GET /pictures/ID`               |                     | the picture, upright, in a form that browsers show |
 * | `POST /api/pictures?label=&id=`  | multipart files     | {@link AddAnswer}; without `label`, unlabelled    |
 * | `POST /api/save`                 |                     | {@link SaveAnswer}: manifest and head are written |
 *
 * Errors are `{ error: { code, message } }`, as those of `serve`. The page's script, style sheet and icon need no token.
 */
import type { Issue } from '../check/finding.js';

/** A picture's number: its place in the columns. It never changes until the server stops; new pictures come behind. */
export type PictureId = number;

export const QUEUES = ['next', 'clusters', 'doubtful', 'duplicates', 'odd', 'accept'] as const;
export type QueueName = (typeof QUEUES)[number];
/** Queues of what `check-data` finds. */
export type FindingQueue = Extract<QueueName, 'doubtful' | 'duplicates' | 'odd'>;

export interface Session {
  /** Another one each time the server starts, a secret: only within one do the numbers of pictures mean the same. */
  start: string;
  /** Of the server itself, also where the page is reached by another one. */
  port: number;
  /** The data set as it was named. */
  dataset: string;
  /** Absolute path of the manifest that is written. */
  manifest: string;
  /** Absolute path of the head that is written. */
  head: string;
  /** e.g. `resnet18` */
  model: string;
  /** Whether a picture has any number of labels, rather than one. */
  multilabel: boolean;
  /** The number of the last change that this answer contains. */
  seq: number;
  /** In the order of their keys, 1 … 9 first. */
  classes: readonly ClassInfo[];
  pictures: PictureColumns;
  classifier: ClassifierState;
  canUndo: boolean;
  canRedo: boolean;
}

/** A class keeps its place among the classes until the server stops, so that indices go on to mean the same. */
export interface ClassInfo {
  name: string;
  /** Pictures that have it; those left out do not count. */
  count: number;
  /** Whether it was removed or merged into another: no picture has it, and it is not to be shown. */
  removed: boolean;
}

/** A column for each property; [pictures] each. */
export interface PictureColumns {
  /** Relative to the data set's folder, or whole where the picture lies elsewhere. */
  name: readonly string[];
  /** Indices into `classes`: of the label, or of all labels; empty if it has none. */
  labels: readonly (readonly number[])[];
  /** Whether somebody has said what is in it. In a data set with lists of labels, that may be none of them. */
  labelled: readonly boolean[];
  split: readonly ('train' | 'val' | 'test' | null)[];
  leftOut: readonly boolean[];
  /** Upright, in pixels; 0 if the picture cannot be read. */
  width: readonly number[];
  height: readonly number[];
  /** Why the picture cannot be read; null if it can. */
  problem: readonly (string | null)[];
}

/** A thing that a person does. Each is one step of undo, however many pictures it is about. */
export type Action =
  /** Gives pictures this label alone, or no label. */
  | { kind: 'label'; pictures: readonly PictureId[]; label: string | null }
  /** Adds a label to pictures, or takes it away; in a data set with lists of labels. */
  | { kind: 'toggle'; pictures: readonly PictureId[]; label: string; on: boolean }
  /** Leaves pictures out of the data set, or takes them back in. Nothing is deleted. */
  | { kind: 'leave-out'; pictures: readonly PictureId[]; out: boolean }
  | { kind: 'split'; pictures: readonly PictureId[]; split: 'train' | 'val' | 'test' | null }
  /**
   * Says that the labels of pictures are right: their findings of this queue are settled. In a data set with lists of labels, a
   * picture without labels then counts as one that has none of them.
   */
  | { kind: 'confirm'; pictures: readonly PictureId[]; queue: QueueName }
  | { kind: 'add-class'; name: string }
  /** To the name of another class: merges the two. */
  | { kind: 'rename-class'; name: string; to: string }
  /** Its pictures lose the label. */
  | { kind: 'remove-class'; name: string }
  | { kind: 'undo' }
  | { kind: 'redo' };

export interface ActionBody {
  action: Action;
  /** Chosen by the page. The same id again is answered as before and changes nothing. */
  id: string;
}

export interface ActionAnswer {
  seq: number;
  /** In words, such as `12 pictures labelled bee`; what undo will take back. */
  done: string;
}

/** A step has been taken, undone or taken again. */
interface Stepped {
  seq: number;
  /** In words, as {@link ActionAnswer.done}. */
  done: string;
  /** The id of the action, so that a page knows its own. */
  id: string;
  /** All classes, if they or their counts have changed. */
  classes: readonly ClassInfo[] | null;
  canUndo: boolean;
  canRedo: boolean;
}

/** What has changed. Of one `seq` after the other. */
export type LabelEvent =
  | (Stepped & {
      kind: 'change';
      /** The pictures that have changed, and their columns from now on. */
      pictures: readonly PictureId[];
      labels: readonly (readonly number[])[];
      labelled: readonly boolean[];
      leftOut: readonly boolean[];
      split: readonly ('train' | 'val' | 'test' | null)[];
    })
  /** New pictures, which come behind those that are there. */
  | (Stepped & { kind: 'added'; first: PictureId; pictures: PictureColumns })
  /** The changes since `since` are not known any more: ask for the session anew. */
  | { kind: 'reset' }
  | { kind: 'classifier'; classifier: ClassifierState }
  /** Long work on the server, for a progress bar; `done === total` ends it. */
  | { kind: 'progress'; task: string; done: number; total: number };

/** The head that learns beside the labels. */
export interface ClassifierState {
  /** `waiting`: fewer than two classes have two labelled pictures each. */
  status: 'waiting' | 'learning' | 'ready';
  /** Counts the heads of the session; suggestions and queues are of one of them. */
  version: number;
  /** The change that the head has learnt from. */
  seq: number;
  /** Labelled pictures that it has learnt from. */
  trainedOn: number;
  /** Undefined while there are too few pictures to tell. */
  evaluation: ClassifierEvaluation | undefined;
  /** One sentence about what to do next. */
  verdict: string;
  /** The class that more labels would help most, if the verdict is about one. */
  wanted: string | undefined;
  /** One point for each head that was evaluated in this session. */
  history: readonly { labelled: number; accuracy: number; low: number; high: number }[];
}

/**
 * By cross-validation, or on the labelled pictures of the validation split if there are any. With lists of labels, accuracy is the
 * fraction of right decisions, the mean over the labels.
 */
export interface ClassifierEvaluation {
  on: 'cross-validation' | 'validation split';
  accuracy: number;
  /** 95 % interval (Wilson). */
  low: number;
  high: number;
  pictures: number;
  /** Precision is null if the class was never predicted, recall if no picture is of it. */
  perClass: readonly { name: string; precision: number | null; recall: number | null; support: number }[];
}

/** What the head says of all pictures that there were; base64 of little-endian columns, [pictures] each. Empty without a head. */
export interface Suggestions {
  version: number;
  /** Uint16: index into `classes` of the most likely label; 65535 if there is none. */
  best: string;
  /** Float32: its calibrated probability; 0 … 1. */
  probability: string;
  /** Uint16 and Float32: the second most likely. */
  second: string;
  secondProbability: string;
}

export interface Queue {
  name: QueueName;
  /** The head that it is by; 0 if by none. */
  version: number;
  /** Pictures that are left to be worked on, including those beyond `count`. */
  left: number;
  /** What to work on, in order. A group is labelled or judged as one: a cluster, or a set of duplicates. */
  groups: readonly {
    /** In words, such as `Cluster of 41` or `The same picture in train and val`. */
    title: string;
    /** The label to suggest for all of them. */
    suggestion: string | undefined;
    pictures: readonly PictureId[];
    /** In words, why each is here; [pictures], empty if the title says it. */
    reasons: readonly string[];
  }[];
  /** Why there is nothing to do, or what is needed first. */
  empty: string | undefined;
}

/** What `check-data` finds in the pictures as they are labelled, but for what was confirmed. */
export interface FindingsAnswer {
  findings: readonly {
    issue: Issue;
    pictures: readonly PictureId[];
    /** In words; [pictures]. */
    details: readonly string[];
  }[];
  /** Pictures that are left in the queues. */
  left: Readonly<Record<FindingQueue, number>>;
}

/** What accepting all suggestions at least this certain would do. */
export interface AcceptPreview {
  version: number;
  above: number;
  count: number;
  /** The expected fraction of wrong ones, from calibrated probabilities; 0 … 1. */
  expectedError: number;
  /** Drawn at random, to look at. */
  sample: readonly PictureId[];
  /** To be sent as one action for each class. */
  groups: readonly { label: string; pictures: readonly PictureId[] }[];
}

export interface SimilarAnswer {
  pictures: readonly PictureId[];
  /** Cosine; −1 … 1. */
  similarity: readonly number[];
}

export interface AddAnswer {
  seq: number;
  /** The new pictures. */
  pictures: readonly PictureId[];
  /** Files that were not added, and why. */
  refused: readonly { name: string; reason: string }[];
}

export interface SaveAnswer {
  manifest: string;
  /** Null if there are too few labels to train on. */
  head: { path: string; accuracy: number | undefined } | null;
  /** Why there is no head. */
  withoutHead: string | undefined;
  /** What to run next, a command each. */
  next: readonly string[];
}
