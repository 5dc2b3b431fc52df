/** Takes pictures with the device's camera. */
import { find } from '../dom.js';

const QUALITY = 0.95;

/** Shows the button of the camera, if the browser lets the page have one. @param onPicture takes each picture, a JPEG */
export function addCamera(onPicture: (picture: File) => void): void {
  // Browsers have no cameras for pages that come over plain HTTP from another machine.
  if (!window.isSecureContext) return;
  const [open, shoot, close] = ['open-camera', 'shoot', 'close-camera'].map((id) => find(id, HTMLButtonElement)) as [
    HTMLButtonElement,
    HTMLButtonElement,
    HTMLButtonElement,
  ];
  const [view, live, failed] = [
    find('camera', HTMLElement),
    find('live', HTMLVideoElement),
    find('camera-failed', HTMLElement),
  ];
  let stream: MediaStream | undefined;
  let [taken, isStarting] = [0, false];
  open.hidden = false;

  open.addEventListener('click', () => {
    // The button is not disabled meanwhile, as it would lose the focus of the keyboard.
    if (isStarting) return;
    isStarting = true;
    failed.textContent = '';
    void start().finally(() => {
      isStarting = false;
    });
  });
  close.addEventListener('click', () => {
    stop();
    open.focus();
  });
  shoot.addEventListener('click', () => {
    const canvas = new OffscreenCanvas(live.videoWidth, live.videoHeight);
    canvas.getContext('2d')?.drawImage(live, 0, 0);
    const name = `camera-${++taken}.jpg`;
    void canvas.convertToBlob({ type: 'image/jpeg', quality: QUALITY }).then((blob) => {
      onPicture(new File([blob], name, { type: blob.type }));
    });
  });

  async function start(): Promise<void> {
    try {
      // Of a phone's cameras, the one at its back.
      const video = { facingMode: 'environment', width: { ideal: 1280 } };
      stream = await navigator.mediaDevices.getUserMedia({ video });
      stream.getVideoTracks()[0]?.addEventListener('ended', () => {
        stop();
        failed.textContent = 'The camera is gone.';
      });
      live.srcObject = stream;
      await live.play();
    } catch (error) {
      stop();
      failed.textContent = reasonOf(error);
      return;
    }
    view.hidden = false;
    open.hidden = true;
    shoot.focus();
  }

  function stop(): void {
    stream?.getTracks().forEach((track) => {
      track.stop();
    });
    stream = undefined;
    live.srcObject = null;
    view.hidden = true;
    open.hidden = false;
  }
}

function reasonOf(error: unknown): string {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError') return 'The browser does not let this page use the camera. Allow it in its settings.';
  if (name === 'NotFoundError') return 'This device has no camera.';
  return `The camera cannot be used: ${error instanceof Error ? error.message : String(error)}`;
}
