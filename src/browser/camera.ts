/** The device's camera. */

const QUALITY = 0.95;

export class Camera {
  #taken = 0;

  private constructor(
    readonly stream: MediaStream,
    readonly live: HTMLVideoElement,
  ) {}

  /**
   * Shows what the camera sees.
   * @param onGone called if the camera is taken away
   * @throws DOMException if the browser does not give it; see `cameraProblem`
   */
  static async open(live: HTMLVideoElement, onGone: () => void): Promise<Camera> {
    // Of a phone's cameras, the one at its back.
    const video = { facingMode: 'environment', width: { ideal: 1280 } };
    const camera = new Camera(await navigator.mediaDevices.getUserMedia({ video }), live);
    camera.stream.getVideoTracks()[0]?.addEventListener('ended', () => {
      camera.close();
      onGone();
    });
    live.srcObject = camera.stream;
    try {
      await live.play();
    } catch (error) {
      camera.close();
      throw error;
    }
    return camera;
  }

  /** What it sees now, as a JPEG. @param prefix of its name, before a number */
  async take(prefix: string): Promise<File> {
    const canvas = new OffscreenCanvas(this.live.videoWidth, this.live.videoHeight);
    canvas.getContext('2d')?.drawImage(this.live, 0, 0);
    const name = `${prefix}${++this.#taken}.jpg`;
    const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: QUALITY });
    return new File([blob], name, { type: blob.type });
  }

  close(): void {
    for (const track of this.stream.getTracks()) track.stop();
    this.live.srcObject = null;
  }
}

/** Browsers have no cameras for pages that come over plain HTTP from another machine. */
export function mayHaveCamera(): boolean {
  return window.isSecureContext;
}

/** Why the camera does not open, in words. */
export function cameraProblem(error: unknown): string {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError') return 'The browser does not let this page use the camera. Allow it in its settings.';
  if (name === 'NotFoundError') return 'This device has no camera.';
  return `The camera cannot be used: ${error instanceof Error ? error.message : String(error)}`;
}
