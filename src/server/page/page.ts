/** The page's markup, which the script fills. */
export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What is on this picture?</title>
<link rel="icon" href="/icon.svg">
<link rel="stylesheet" href="/page.css">
<script src="/page.js" defer></script>
</head>
<body>
<header>
  <h1>What is on this picture?</h1>
  <p id="about"></p>
</header>
<main>
  <form id="access" hidden>
    <input type="text" autocomplete="username" value="lastlayer" hidden>
    <label for="key">This server asks for its API key.</label>
    <div><input id="key" type="password" autocomplete="current-password" required><button>Go on</button></div>
    <p id="refused" role="alert"></p>
  </form>
  <section id="ask" hidden>
    <p id="choice" hidden><label for="head">Head</label> <select id="head"></select></p>
    <label id="drop" for="files">
      <strong>Drop pictures here</strong>
      <span>or <u>choose them</u>, or paste one</span>
      <input id="files" type="file" accept="image/*" multiple>
    </label>
    <p id="status" role="status"></p>
  </section>
  <ul id="results" aria-label="Pictures"></ul>
</main>
</body>
</html>
`;
