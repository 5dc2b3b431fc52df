/** The buttons of the page with which the user opens the camera and takes pictures. */
import { Camera, cameraProblem, mayHaveCamera } from '../camera.js';
import { find } from '../dom.js';

/** Shows the button of the camera, if the browser lets the page have one. @param onPicture takes each picture, a JPEG */
export function addCamera(onPicture: (picture: File) => void): void {
  if (!mayHaveCamera()) return;
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
  let camera: Camera | undefined;
  let isStarting = false;
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
    camera?.close();
    hide();
    open.focus();
  });
  shoot.addEventListener('click', () => {
    void camera?.take('camera-').then(onPicture);
  });

  async function start(): Promise<void> {
    try {
      camera = await Camera.open(live, () => {
        hide();
        failed.textContent = 'The camera is gone.';
      });
    } catch (error) {
      failed.textContent = cameraProblem(error);
      return;
    }
    view.hidden = false;
    open.hidden = true;
    shoot.focus();
  }

  function hide(): void {
    camera = undefined;
    view.hidden = true;
    open.hidden = false;
  }
}
