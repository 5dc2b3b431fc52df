/** The page's looks: light and dark, wide and narrow. */
export const STYLE = `
:root { color-scheme: light dark; --page: #fff; --ink: #1c2128; --soft: #57606a; --line: #d0d7de; --card: #f6f8fa;
  --track: #e4e9ef; --accent: #2f6fd0; --warn: #b3261e; --warn-back: #fdecea }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --ink: #e6edf3; --soft: #9ea9b5; --line: #323a45;
  --card: #1b212a; --track: #2b333e; --accent: #6ea8ff; --warn: #ff9d8f; --warn-back: #3a1f1f } }
* { box-sizing: border-box }
[hidden] { display: none !important }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif }
header, main { max-width: 960px; margin: 0 auto; padding: 0 20px }
header { padding-top: 36px } main { padding-bottom: 64px }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px } h2 { font-size: 16px; margin: 0; overflow-wrap: anywhere; font-weight: 500; color: var(--soft) }
#about { color: var(--soft); margin: 0 0 24px; overflow-wrap: anywhere }
#drop { position: relative; display: grid; place-content: center; gap: 4px; min-height: 180px; padding: 28px; text-align: center; cursor: pointer;
  border: 2px dashed var(--line); border-radius: 14px; background: var(--card); transition: border-color .15s }
#drop strong { font-size: 20px } #drop span { color: var(--soft) } #drop input { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
#drop u { color: var(--accent) } #drop:focus-within { outline: 3px solid var(--accent); outline-offset: 2px }
#drop:hover, #drop.over { border-color: var(--accent) } #drop.over { border-style: solid }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
select, button, #key { font: inherit; color: var(--ink); background: var(--page); border: 1px solid var(--line); border-radius: 8px; padding: 7px 12px }
button { cursor: pointer; background: var(--card) } #access div { display: flex; gap: 8px; margin-top: 8px; max-width: 420px } #key { flex: 1; min-width: 0 }
#refused { color: var(--warn) } #status { min-height: 1.5em; color: var(--soft) }
#results { list-style: none; padding: 0; margin: 0; display: grid; gap: 20px }
#results > li { display: grid; grid-template-columns: 240px minmax(0, 1fr); gap: 24px; padding: 18px; border: 1px solid var(--line); border-radius: 14px; background: var(--card) }
#results > li > img { width: 100%; max-height: 260px; object-fit: contain; border-radius: 8px; background: var(--track) }
.answer { min-width: 0 } [hidden] + .answer { grid-column: 1 / -1 }
.verdict { font-size: 24px; line-height: 1.25; font-weight: 650; margin: 0 0 10px; overflow-wrap: anywhere }
.note { margin: 0 0 12px; padding: 6px 12px; border-left: 4px solid var(--warn); border-radius: 4px; background: var(--warn-back); color: var(--warn) }
.bars { list-style: none; padding: 0; margin: 0; display: grid; gap: 8px } .bars li { display: grid; grid-template-columns: 1fr auto; gap: 0 12px }
.bars span { overflow-wrap: anywhere } .bars b { font-weight: 500; font-variant-numeric: tabular-nums; color: var(--soft) }
.bar { grid-column: 1 / -1; height: 10px; border-radius: 5px; background: var(--track); overflow: hidden }
.bar i { display: block; height: 100%; border-radius: 5px; background: var(--soft); opacity: .7 } .bars li.first i, .bars li.given i { background: var(--accent); opacity: 1 }
h3 { font-size: 14px; font-weight: 600; color: var(--soft); margin: 20px 0 8px }
.similar { list-style: none; padding: 0; margin: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(92px, 1fr)); gap: 10px; font-size: 13px; line-height: 1.3 }
.similar img { display: block; width: 100%; height: 78px; object-fit: cover; border-radius: 6px; background: var(--track); margin-bottom: 4px }
.similar b { display: block; font-weight: 500; overflow-wrap: anywhere } .similar small { color: var(--soft) }
.waiting { color: var(--soft) } .failed { color: var(--warn); overflow-wrap: anywhere }
@media (max-width: 640px) { header { padding-top: 24px } h1 { font-size: 25px } #drop { min-height: 140px; padding: 20px } #results > li { grid-template-columns: 1fr; gap: 14px; padding: 14px } }
@media (prefers-reduced-motion: reduce) { * { transition: none !important } }
`;
