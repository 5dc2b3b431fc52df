/** The page's looks: light and dark, wide and narrow, on a screen and on paper. */
export const STYLE = `
:root { color-scheme: light dark; --page: #fff; --ink: #1c2128; --soft: #57606a; --line: #d0d7de; --card: #f6f8fa;
  --accent: #2f6fd0; --right: 47 111 208; --wrong: 201 60 40; --wrong-ink: #b3261e; --right-ink: #1a56b0; }
@media screen and (prefers-color-scheme: dark) { :root { --page: #12161c; --ink: #e6edf3; --soft: #9ea9b5; --line: #323a45;
  --card: #1b212a; --accent: #6ea8ff; --right: 78 140 240; --wrong: 224 92 70; --wrong-ink: #ff9d8f; --right-ink: #8ab8ff; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif }
header, main, footer { max-width: 1080px; margin: 0 auto; padding: 0 20px }
header { padding-top: 36px } footer { padding-bottom: 48px; color: var(--soft); font-size: 14px }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere }
h2 { font-size: 22px; margin: 0 0 8px } h3 { font-size: 17px; margin: 22px 0 4px }
header p { color: var(--soft); margin: 0; overflow-wrap: anywhere }
nav ul { display: flex; flex-wrap: wrap; gap: 4px 16px; padding: 0; margin: 16px 0 0; list-style: none; font-size: 15px }
a { color: var(--right-ink) }
section { margin: 44px 0 } section > p { max-width: 72ch }
.big { font-size: 20px; margin: 0 } .big strong { font-size: 60px; line-height: 1.1; letter-spacing: -1.5px }
.big span { display: block; color: var(--soft); font-size: 16px }
.warning { border-left: 4px solid rgb(var(--wrong)); padding-left: 12px }
.bars { list-style: none; padding: 0; max-width: 720px } .bars li { display: grid; grid-template-columns: 12.5em 1fr 14em; gap: 12px; align-items: center }
.bars small, .gallery small { color: var(--soft) }
.bar { position: relative; height: 18px; background: var(--card); border-radius: 4px; box-shadow: inset 0 0 0 1px var(--line) } .bar i { position: absolute; inset: 0 auto 0 0; background: var(--soft); opacity: .55; border-radius: 4px } .bars li:first-child i { background: var(--accent); opacity: 1 } .bar em { position: absolute; top: 8px; height: 2px; background: var(--ink) }
.figures { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0 0 }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 16px; min-width: 150px }
dt { color: var(--soft); font-size: 14px } dd { margin: 0 } .figures dd { font-size: 22px }
.about div { display: grid; grid-template-columns: 10em 1fr; gap: 8px; padding: 4px 0; border-bottom: 1px solid var(--line) } .about dd { overflow-wrap: anywhere }
.scroll { overflow-x: auto; max-width: 100% } .scroll:focus-visible, .map:focus-visible, button:focus-visible, summary:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 15px }
th, td { padding: 5px 12px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th[scope=row], thead th:first-child { text-align: left; font-weight: 500 } thead th { color: var(--soft); font-weight: 500 }
.confusion th, .confusion td { border: 0; padding: 1px } .confusion th[scope=row] { text-align: right; padding-right: 10px; position: sticky; left: 0; background: var(--page); max-width: 11em; overflow: hidden; text-overflow: ellipsis }
.confusion thead th { height: 3em; vertical-align: bottom; text-align: left } .confusion thead th span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 8.5em; overflow: hidden; text-overflow: ellipsis }
.confusion td.none { text-align: center; color: var(--soft); min-width: 44px; background: var(--card); border-radius: 4px }
.confusion button { width: 44px; height: 38px; font: inherit; border: 1px solid transparent; border-radius: 4px; cursor: pointer; color: var(--ink) }
.confusion .right { background: rgb(var(--right) / var(--share)) } .confusion .wrong { background: rgb(var(--wrong) / var(--share)) }
.confusion .strong { color: #fff; text-shadow: 0 0 2px #0008 } .confusion .right.strong { background: #2459a8 } .confusion .wrong.strong { background: #a8321f }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(142px, 1fr)); gap: 18px 14px; padding: 0; list-style: none; font-size: 14px; line-height: 1.35 }
.gallery li { overflow-wrap: anywhere } .gallery b, .gallery span, .gallery small { display: block } .gallery b { font-weight: 600 }
img { max-width: 100% } .gallery img { width: 100%; height: 132px; object-fit: cover; border-radius: 6px; background: var(--card); display: block; margin-bottom: 5px }
.pair { display: flex; gap: 3px } .pair img { min-width: 0 } .missing { height: 132px; background: var(--card); color: var(--soft); border-radius: 6px; padding: 10px; width: 100% }
.wrong { color: var(--wrong-ink) } .right { color: var(--right-ink) }
figure { margin: 16px 0 } figure svg { max-width: 100%; height: auto; display: block } figcaption { color: var(--soft); font-size: 14.5px; max-width: 72ch; margin-top: 6px }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 0 36px }
summary { cursor: pointer; color: var(--right-ink); padding: 4px 0; width: fit-content }
.legend { display: flex; flex-wrap: wrap; gap: 6px; padding: 0; list-style: none } .legend i { display: inline-block; width: 11px; height: 11px; border-radius: 50%; margin-right: 7px }
.legend button, dialog button { font: inherit; font-size: 14px; color: var(--ink); background: var(--card); border: 1px solid var(--line); border-radius: 16px; padding: 3px 12px; cursor: pointer } .legend button[aria-pressed=true] { border-color: var(--ink); box-shadow: inset 0 0 0 1px var(--ink) }
.maps { display: grid; grid-template-columns: minmax(0, 1fr) 200px; gap: 24px } #preview { position: sticky; top: 16px; align-self: start; min-height: 190px; font-size: 14px; color: var(--soft); overflow-wrap: anywhere }
#preview img { width: 100%; max-height: 200px; object-fit: contain; border-radius: 6px } #preview b { color: var(--ink); display: block }
[data-point] { transition: opacity .15s } [data-point].dim { opacity: .08 } [data-point].at { stroke: var(--ink); stroke-width: 3.5 }
dialog { width: min(920px, 94vw); max-height: 88vh; border: 1px solid var(--line); border-radius: 12px; background: var(--page); color: var(--ink); padding: 20px 24px } dialog::backdrop { background: #000a } dialog form { float: right }
@media (max-width: 700px) { .maps { grid-template-columns: 1fr } #preview { bottom: 0; top: auto; min-height: 0; background: var(--page); padding: 8px 0 } #preview img { max-height: 110px; width: auto } th, td { padding: 5px 4px } table { font-size: 14px } figure svg { font-size: 18px !important } .bars li { grid-template-columns: 1fr auto; gap: 0 12px; margin-bottom: 10px } .bar { grid-column: 1 / -1; grid-row: 2 } .big strong { font-size: 46px } h1 { font-size: 25px } .about div { grid-template-columns: 1fr; gap: 0 } section { margin: 34px 0 } }
@media (prefers-reduced-motion: reduce) { * { transition: none !important } }
@media print { :root { color-scheme: light } nav, #preview, dialog, details, .screen { display: none } .maps, .legend button { display: block } section { margin: 28px 0 } figure, .gallery li, tr, .confusion, .about div, footer { break-inside: avoid } h2, h3, section > p { break-after: avoid } .legend button { border: 0; background: none; padding: 0 8px } figure svg { max-height: 62mm; max-width: 100%; width: auto } .map svg { max-height: 130mm } .two { grid-template-columns: 1fr 1fr } .gallery { grid-template-columns: repeat(6, 1fr); gap: 10px; font-size: 10px } .gallery img, .missing { height: 88px } footer { padding: 0 20px } body { font-size: 12px; print-color-adjust: exact; -webkit-print-color-adjust: exact } }
`;
