import { HttpError } from './errors.js';
import type { Settings } from './options.js';

/** The longest Retry-After, in seconds. */
const MAX_RETRY_AFTER = 30;

/** A request's body while it arrives. */
export interface IncomingBody {
  /** @throws {HttpError} 413 if the body is too large, 429 if all bodies together are */
  add: (bytes: number) => void;
  /** Call when the body is complete. */
  complete: () => void;
  /** Call when nothing of the body is needed any more. */
  release: () => void;
}

/** Bounds the pictures and bytes in the server's hands. It rejects early rather than answering late. */
export class Limits {
  private pictures = 0;
  private arriving = 0;
  private bytes = 0;
  private secondsPerPicture = 0.01;

  constructor(private readonly settings: Pick<Settings, 'maxQueue' | 'maxBody' | 'maxHeld'>) {}

  /** Pictures waiting or in progress. */
  get queued(): number {
    return this.pictures;
  }

  /** Bytes of request bodies in memory. */
  get held(): number {
    return this.bytes;
  }

  /**
   * Admits a request before its body arrives. Arriving bodies take up the queue too, so few are rejected once they are here; but
   * at most as much of it as the pictures do, so slow clients alone cannot keep others out.
   * @throws {HttpError} 429 if the queue is full
   */
  receive(): IncomingBody {
    const { maxQueue, maxBody, maxHeld } = this.settings;
    if (this.pictures + Math.min(this.arriving, this.pictures) >= maxQueue) throw this.overloaded();
    this.arriving++;
    let isArriving = true;
    let size = 0;
    const complete = () => {
      if (isArriving) this.arriving--;
      isArriving = false;
    };
    return {
      add: (bytes) => {
        size += bytes;
        this.bytes += bytes;
        if (size > maxBody) {
          throw new HttpError(413, 'body_too_large', `The body is larger than ${maxBody} bytes.`);
        }
        if (this.bytes > maxHeld) throw this.overloaded();
      },
      complete,
      release: () => {
        complete();
        this.bytes -= size;
        size = 0;
      },
    };
  }

  /**
   * Admits the pictures of a request.
   * @returns a function to call when they are done
   * @throws {HttpError} 429 if the queue is full, 413 if so many would never fit
   */
  admit(count: number): () => void {
    const { maxQueue } = this.settings;
    if (count > maxQueue) {
      throw new HttpError(
        413,
        'too_many_pictures',
        `The request has ${count} pictures; at most ${maxQueue} are allowed.`,
      );
    }
    if (this.pictures + count > maxQueue) throw this.overloaded();
    this.pictures += count;
    return () => (this.pictures -= count);
  }

  /** Updates the moving average of the backbone's speed, which Retry-After is estimated from. */
  recordSpeed(pictures: number, seconds: number): void {
    this.secondsPerPicture += 0.1 * (seconds / pictures - this.secondsPerPicture);
  }

  private overloaded(): HttpError {
    const seconds = Math.ceil(this.pictures * this.secondsPerPicture);
    const wait = String(Math.min(Math.max(seconds, 1), MAX_RETRY_AFTER));
    return new HttpError(429, 'overloaded', `The server is at its limit. Try again in ${wait} s.`, {
      'Retry-After': wait,
    });
  }
}
