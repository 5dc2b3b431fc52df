import { HttpError } from './http-error.js';
import type { Settings } from './options.js';

/** The longest time, in seconds, after which clients are told to come again. */
const LONGEST_RETRY = 30;

/** Counts what the server holds, and refuses more than it should: it answers late no one whom it can refuse at once. */
export class Limits {
  private pictures = 0;
  private arriving = 0;
  private bytes = 0;
  private secondsPerPicture = 0.01;

  constructor(private readonly settings: Pick<Settings, 'maxQueue' | 'maxBody' | 'maxHeld'>) {}

  /** Pictures that wait or are at work. */
  get queued(): number {
    return this.pictures;
  }

  /** Bytes of the bodies that are held. */
  get held(): number {
    return this.bytes;
  }

  /**
   * Lets a request in, whose body is still to come. Bodies that come count beside the pictures, so that few are refused once
   * they are here; but no more of them than there are pictures, so that slow clients alone cannot keep others out.
   * @returns what measures the body
   * @throws {HttpError} 429 where there will be no place for it
   */
  enter(): Arrival {
    const coming = Math.min(this.arriving, this.pictures);
    if (this.pictures + coming >= this.settings.maxQueue) throw this.overloaded();
    this.arriving++;
    let isComing = true;
    let taken = 0;
    const { maxBody, maxHeld } = this.settings;
    const end = () => {
      if (isComing) this.arriving--;
      isComing = false;
    };
    return {
      add: (bytes) => {
        taken += bytes;
        this.bytes += bytes;
        if (taken > maxBody) {
          throw new HttpError(413, 'body_too_large', `The body is larger than ${maxBody} bytes.`);
        }
        if (this.bytes > maxHeld) throw this.overloaded();
      },
      end,
      release: () => {
        end();
        this.bytes -= taken;
        taken = 0;
      },
    };
  }

  /**
   * Takes a request's pictures on.
   * @returns what lets them go again
   * @throws {HttpError} 429 where they are too many now, 413 where they always will be
   */
  admit(count: number): () => void {
    const { maxQueue } = this.settings;
    if (count > maxQueue) {
      throw new HttpError(
        413,
        'too_many_pictures',
        `${count} pictures were sent; at most ${maxQueue} are taken.`,
      );
    }
    if (this.pictures + count > maxQueue) throw this.overloaded();
    this.pictures += count;
    return () => (this.pictures -= count);
  }

  /** Learns how fast the backbone is. */
  learn(pictures: number, seconds: number): void {
    this.secondsPerPicture += 0.1 * (seconds / pictures - this.secondsPerPicture);
  }

  private overloaded(): HttpError {
    const seconds = Math.ceil(this.pictures * this.secondsPerPicture);
    const wait = String(Math.min(Math.max(seconds, 1), LONGEST_RETRY));
    return new HttpError(
      429,
      'overloaded',
      `The server has as much to do as it takes on. Come again in ${wait} s.`,
      {
        'Retry-After': wait,
      },
    );
  }
}

/** A request's body while it comes in. */
export interface Arrival {
  /** @throws {HttpError} 413 where the body is too large, 429 where all bodies together are */
  add: (bytes: number) => void;
  /** All of it is here. */
  end: () => void;
  /** Nothing of it is needed any more. */
  release: () => void;
}
