import { Classifier } from './classifier.js';

/** Number of classes to show. */
const SHOWN = 5;

const element = (id) => document.getElementById(id);
const say = (text) => (element('status').textContent = text);
const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

// Another one: index.html?model=other.onnx
const model = new URLSearchParams(location.search).get('model') ?? 'classifier.onnx';
const classifier = await Classifier.load(model).catch((error) => {
  say(error.message);
  throw error;
});
say(`It knows ${classifier.labels.join(', ')}.`);
element('file').disabled = false;

element('file').addEventListener('change', ({ target }) => show(target.files[0]));
for (const [event, isOver] of [
  ['dragover', true],
  ['dragleave', false],
  ['drop', false],
]) {
  element('drop').addEventListener(event, (happened) => {
    happened.preventDefault();
    element('drop').classList.toggle('over', isOver);
    if (event === 'drop') show(happened.dataTransfer.files[0]);
  });
}

async function show(file) {
  if (!file) return;
  const picture = element('picture');
  URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(file);
  picture.hidden = false;
  element('answer').hidden = true;
  say(`Looking at ${file.name} …`);
  try {
    const started = performance.now();
    const answer = await classifier.classify(file);
    element('time').textContent = `In ${Math.round(performance.now() - started)} ms.`;
    tell(answer);
    say(file.name);
  } catch (error) {
    picture.hidden = true;
    say(`${file.name} cannot be read: ${error.message}`);
  }
}

function tell({ classes, unknown }) {
  const given = classifier.thresholds ? classes.filter((each) => each.given) : classes.slice(0, 1);
  const names = given.map(({ label }) => label).join(', ') || 'None of the labels';
  element('verdict').textContent = unknown ? `Unlike the training pictures; best guess ${names}` : names;
  element('classes').replaceChildren(...classes.slice(0, SHOWN).map((each) => bar(each, given.includes(each))));
  element('answer').hidden = false;
}

function bar({ label, probability }, isNamed) {
  const item = document.createElement('li');
  const name = Object.assign(document.createElement('span'), { textContent: label });
  const track = Object.assign(document.createElement('div'), { className: 'bar' });
  const filled = document.createElement('i');
  filled.style.width = `${100 * probability}%`;
  track.append(filled);
  const value = Object.assign(document.createElement('data'), {
    value: probability,
    textContent: percent(probability),
  });
  item.classList.toggle('named', isNamed);
  item.append(name, track, value);
  return item;
}
