/**
 * What the page does: it sends the pictures that are dropped, chosen or pasted, a few at a time, and shows the answers. All
 * text is set as text, so that no label or file name can become markup.
 */
export const SCRIPT = `
(() => {
  'use strict';
  const AT_A_TIME = 3;
  const find = (id) => document.getElementById(id);
  const make = (name, text, className) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const percent = (share) => (100 * share).toFixed(1) + '\\u00a0%';
  const wait = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
  let key = sessionStorage.getItem('key') || '';
  let hasSimilar = false;

  const ask = (path, options = {}) =>
    fetch(path, { ...options, headers: { ...options.headers, ...(key && { Authorization: 'Bearer ' + key }) } });

  const start = async () => {
    const response = await ask('/v1/heads');
    if (response.status === 401) {
      find('access').hidden = false;
      find('refused').textContent = key ? 'That is not the key.' : '';
      find('key').focus();
      return;
    }
    const { heads, similar } = await response.json();
    hasSimilar = similar;
    sessionStorage.setItem('key', key);
    find('access').hidden = true;
    find('ask').hidden = false;
    find('choice').hidden = heads.length < 2;
    find('head').replaceChildren(...heads.map(({ name }) => new Option(name, name)));
    const tell = () => {
      const { labels } = heads.find(({ name }) => name === find('head').value);
      const shown = labels.slice(0, 12).join(', ');
      find('about').textContent = labels.length > 12 ? shown + ' … ' + labels.length + ' classes in all' : shown;
    };
    find('head').addEventListener('change', tell);
    tell();
  };
  find('access').addEventListener('submit', (event) => {
    event.preventDefault();
    key = find('key').value;
    start();
  });

  const send = async (file, head) => {
    const query = '?topK=5' + (hasSimilar ? '&similar=6' : '');
    for (;;) {
      const response = await ask('/v1/heads/' + encodeURIComponent(head) + '/classify' + query, {
        method: 'POST',
        headers: { 'Content-Type': 'application/octet-stream' },
        body: file,
      });
      if (response.status !== 429) return response.json();
      await wait(Number(response.headers.get('Retry-After')) || 1);
    }
  };

  const thumbnail = async (img, id) => {
    const response = await ask('/v1/pictures/' + id + '/thumbnail');
    if (response.ok) img.src = URL.createObjectURL(await response.blob());
  };

  const similarPicture = ({ id, label, labels, similarity }) => {
    const item = make('li');
    const name = (labels ? labels.join(', ') : label) || 'no label';
    const img = make('img');
    img.alt = '';
    thumbnail(img, id);
    item.append(img, make('b', name), make('small', 'cosine ' + similarity.toFixed(3)));
    return item;
  };

  const show = (answer, { predictions, unknown, labels, similar }) => {
    const verdict = labels ? labels.join(', ') || 'None of the labels' : predictions[0].label;
    answer.replaceChildren(answer.firstChild, make('p', verdict, 'verdict'));
    if (unknown) answer.append(make('p', 'Probably none of the classes; this is the best guess.', 'note'));
    const bars = make('ul', undefined, 'bars');
    predictions.forEach(({ label, probability }, i) => {
      const given = labels ? labels.includes(label) : i === 0;
      const item = make('li', undefined, given ? 'given' : '');
      const bar = make('div', undefined, 'bar');
      const fill = make('i');
      fill.style.width = 100 * probability + '%';
      bar.append(fill);
      item.append(make('span', label), make('b', percent(probability)), bar);
      bars.append(item);
    });
    answer.append(bars);
    if (!similar || similar.length === 0) return;
    const list = make('ul', undefined, 'similar');
    list.append(...similar.map(similarPicture));
    answer.append(make('h3', 'The most similar pictures of the data set'), list);
  };

  const classify = async ({ file, answer, head }) => {
    try {
      const { results, error } = await send(file, head);
      if (results) return show(answer, results[0]);
      answer.replaceChildren(answer.firstChild, make('p', error.message, 'failed'));
    } catch {
      answer.replaceChildren(answer.firstChild, make('p', 'The server does not answer.', 'failed'));
    }
  };

  const queue = [];
  let running = 0;
  let [asked, done] = [0, 0];
  const advance = async () => {
    if (running >= AT_A_TIME || queue.length === 0) return;
    running++;
    await classify(queue.shift());
    running--;
    done++;
    find('status').textContent = done + ' of ' + asked + (asked === 1 ? ' picture' : ' pictures');
    advance();
  };

  const add = (files) => {
    const pictures = [...files];
    asked += pictures.length;
    const cards = pictures.map((file) => {
      const card = make('li');
      const img = make('img');
      img.src = URL.createObjectURL(file);
      img.alt = '';
      img.addEventListener('error', () => { img.hidden = true; });
      const answer = make('div', undefined, 'answer');
      answer.append(make('h2', file.name), make('p', 'Waiting …', 'waiting'));
      card.append(img, answer);
      queue.push({ file, answer, head: find('head').value });
      return card;
    });
    find('results').prepend(...cards);
    for (let i = 0; i < AT_A_TIME; i++) advance();
  };

  find('files').addEventListener('change', ({ target }) => {
    add(target.files);
    target.value = '';
  });
  document.addEventListener('paste', ({ clipboardData }) => {
    if (!find('ask').hidden) add(clipboardData.files);
  });
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    find('drop').classList.add('over');
  });
  document.addEventListener('dragleave', () => find('drop').classList.remove('over'));
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    find('drop').classList.remove('over');
    if (!find('ask').hidden) add(event.dataTransfer.files);
  });
  start().catch(() => { find('about').textContent = 'The server does not answer.'; });
})();
`;
