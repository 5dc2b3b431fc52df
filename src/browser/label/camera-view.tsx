/** Takes pictures by the camera, straight into a class: one for each click or key, and one after the other while it is held. */
import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { PictureId } from '../../label/protocol.js';
import { count } from '../../util/format.js';
import { Camera, cameraProblem, mayHaveCamera } from '../camera.js';
import { cellId } from './cell.js';
import { ClassName, Dot } from './words.js';
import { addPictures, complain, thumbnailUrl } from './server.js';
import * as state from './state.js';

/** Between two pictures of a burst. */
const BURST_MS = 200;
/** Files of one request. */
const BATCH = 16;
/** Of the last pictures, those that are shown. */
const MOST_SHOTS = 60;

let camera: Camera | undefined;
let lastShot = 0;
let isSending = false;
const unsent: { file: File; label: string | undefined }[] = [];
const shots = signal<readonly PictureId[]>([]);

/** Takes a picture into a class, or into none; but not faster than a burst. */
export async function shoot(label: string | undefined): Promise<void> {
  const now = performance.now();
  if (!camera || now - lastShot < BURST_MS - 20) return;
  lastShot = now;
  unsent.push({ file: await camera.take(`camera-${Date.now()}-`), label });
  if (!isSending) void send();
}

/** Takes a picture into the class of a key. */
export function shootByNumber(index: number): void {
  const found = state.liveClasses.value[index];
  if (found) void shoot(found.name);
}

async function send(): Promise<void> {
  isSending = true;
  while (unsent[0]) {
    const { label } = unsent[0];
    const end = unsent.findIndex((shot) => shot.label !== label);
    const batch = unsent.splice(0, Math.min(end === -1 ? unsent.length : end, BATCH));
    try {
      const { pictures, refused } = await addPictures(
        batch.map(({ file }) => file),
        label,
      );
      shots.value = [...[...pictures].reverse(), ...shots.value].slice(0, MOST_SHOTS);
      if (refused[0]) complain(`${refused[0].name}: ${refused[0].reason}`);
    } catch (error) {
      complain(String(error));
    }
  }
  isSending = false;
}

export function CameraView() {
  const live = useRef<HTMLVideoElement>(null);
  const [problem, setProblem] = useState<string>();
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    let isGone = false;
    const start = async () => {
      if (!mayHaveCamera()) throw new Error('the browser gives it to pages of this machine and over HTTPS alone');
      const opened = await Camera.open(live.current!, () => {
        camera = undefined;
        setOpen(false);
        setProblem('The camera is gone.');
      });
      if (isGone) {
        opened.close();
        return;
      }
      camera = opened;
      setOpen(true);
    };
    start().catch((error: unknown) => {
      setProblem(cameraProblem(error));
    });
    return () => {
      isGone = true;
      camera?.close();
      camera = undefined;
    };
  }, []);
  return (
    <div class="camera">
      <div class="viewfinder">
        <video ref={live} autoplay playsInline muted aria-label="What the camera sees" />
        {problem !== undefined && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
      </div>
      <section class="shutters" aria-label="Take a picture of">
        <h2>Take a picture of</h2>
        <p class="note">Click or press the key for one, hold it for a burst of five a second.</p>
        <div class="chips">
          {state.liveClasses.value.map(({ name, index, count: number }, place) => (
            <Shutter key={index} label={name} isReady={isOpen}>
              {place < 9 && <kbd>{place + 1}</kbd>}
              <Dot index={index} />
              <span class="name">{name}</span>
              <span class="number">{count(number)}</span>
            </Shutter>
          ))}
          <Shutter label={undefined} isReady={isOpen}>
            <kbd>0</kbd>
            <span class="name">no label yet</span>
          </Shutter>
        </div>
      </section>
      <section class="shots" aria-label="Pictures taken" tabIndex={0}>
        <ul>
          {shots.value
            .filter((id) => id < state.pictures().count && !state.pictures().isLeftOut(id))
            .map((id) => (
              <li key={id} id={cellId(id)}>
                <img src={thumbnailUrl(id)} alt={state.pictures().names[id]} />
                {state
                  .pictures()
                  .labels(id)
                  .map((index) => (
                    <ClassName key={index} index={index} />
                  ))}
              </li>
            ))}
        </ul>
      </section>
    </div>
  );
}

function Shutter({
  label,
  isReady,
  children,
}: {
  label: string | undefined;
  isReady: boolean;
  children: ComponentChildren;
}) {
  const burst = useRef(0);
  const stop = () => {
    clearInterval(burst.current);
  };
  useEffect(() => stop, []);
  return (
    <button
      type="button"
      class="chip"
      disabled={!isReady}
      onPointerDown={({ button }) => {
        if (button !== 0) return;
        void shoot(label);
        stop();
        burst.current = setInterval(() => void shoot(label), BURST_MS);
      }}
      onPointerUp={stop}
      onPointerLeave={stop}
      onPointerCancel={stop}
      onKeyDown={(event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        void shoot(label);
      }}
      onContextMenu={(event) => {
        event.preventDefault();
      }}
    >
      {children}
    </button>
  );
}
