/** The look of the page that `html.ts` writes: one column, light or dark as its reader has it, and good on paper. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #fff; --raised: #f6f7f9; --ink: #1a1f27; --quiet: #525c69; --rule: #d9dee5; --link: #0b57b7;
  --pass: #11612e; --pass-back: #e0f3e6;
  --fail: #a3151b; --fail-back: #fde7e6;
  --unknown: #754600; --unknown-back: #fdf0d2;
  --skip: #4a5462; --skip-back: #e9edf2;
  --mono: ui-monospace, 'SFMono-Regular', 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171c; --raised: #1c2128; --ink: #e4e8ee; --quiet: #a3adba; --rule: #323a45; --link: #8ab8ff;
    --pass: #8fdba9; --pass-back: #14331f;
    --fail: #ffaaa5; --fail-back: #45191a;
    --unknown: #f3cb7a; --unknown-back: #3d2e0c;
    --skip: #b6c0cc; --skip-back: #2a313a;
  }
}
* { box-sizing: border-box; }
body {
  max-width: 56rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif;
  overflow-wrap: anywhere; text-size-adjust: 100%;
}
h1, h2, h3, h4, p, dl, dd, pre { margin: 0; }
h1 { font-size: 2rem; line-height: 1.2; letter-spacing: -.015em; text-wrap: balance; }
h2 { margin-bottom: .75rem; font-size: 1.3rem; line-height: 1.3; letter-spacing: -.01em; }
h3 { font-size: 1.05rem; line-height: 1.4; }
h4 { font-size: 1rem; line-height: 1.45; font-weight: 600; }
a { color: var(--link); text-underline-offset: .15em; text-decoration-thickness: .06em; }
code, pre { font-family: var(--mono); font-size: .875em; }
:focus-visible { outline: .15rem solid var(--link); outline-offset: .15rem; border-radius: .2rem; }
main > section { margin-top: 2.75rem; }
main > section > p { margin-bottom: .9rem; color: var(--quiet); }

.kind { margin-bottom: .35rem; color: var(--quiet); font-weight: 600; font-size: .875rem; }
.facts { display: flex; flex-wrap: wrap; gap: .75rem 2.25rem; margin-top: 1.25rem; }
dt { color: var(--quiet); font-size: .8125rem; }

main > .outcome {
  margin-top: 2rem; padding: 1.25rem 1.4rem; background: var(--raised);
  border: 1px solid var(--rule); border-left: .35rem solid var(--tone); border-radius: .5rem;
}
.outcome > p { margin: .9rem 0 0; font-size: .875rem; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: .75rem; margin-top: 1rem; }
.tile { display: flex; flex-direction: column-reverse; padding-top: .5rem; border-top: .2rem solid var(--tone); }
.tile dd { font-size: 1.9rem; line-height: 1.2; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile dt { font-size: .875rem; }

.pass { --tone: var(--pass); --back: var(--pass-back); }
.fail { --tone: var(--fail); --back: var(--fail-back); }
.unknown { --tone: var(--unknown); --back: var(--unknown-back); }
.skip { --tone: var(--skip); --back: var(--skip-back); }
.verdict {
  display: inline-block; padding: .06rem .55rem; color: var(--tone); background: var(--back);
  border: 1px solid var(--tone); border-radius: 1rem;
  font-size: .8125rem; font-weight: 600; line-height: 1.5; white-space: nowrap;
}

table { width: 100%; border-collapse: collapse; font-size: .9375rem; }
th, td { padding: .55rem .9rem .55rem 0; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--rule); }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--quiet); font-size: .8125rem; font-weight: 600; border-bottom: .12rem solid var(--rule); }
tbody th { font-weight: 500; }
.number { font-variant-numeric: tabular-nums; }
.number, thead th { overflow-wrap: normal; }
.wide { table-layout: fixed; }
.wide th:first-child { width: 13rem; }
.attention { margin: 0; padding: 0; list-style: none; }
.attention > li {
  display: grid; grid-template-columns: 6.75rem 1fr; align-items: baseline;
  padding: .4rem 0; border-bottom: 1px solid var(--rule); font-size: .9375rem;
}
.attention .verdict { justify-self: start; }
.attention code { color: var(--quiet); }
.evidence { font-family: var(--mono); font-size: .8125rem; white-space: pre-wrap; }

.line { margin-top: 2rem; }
.line > h3 {
  display: flex; justify-content: space-between; align-items: baseline; gap: 1rem;
  padding-bottom: .5rem; border-bottom: .12rem solid var(--rule);
}
.line > p { padding: .9rem 0; color: var(--quiet); }
article { padding: 1rem 0; border-bottom: 1px solid var(--rule); }
article > h4 { display: grid; grid-template-columns: 6.75rem 1fr; align-items: baseline; }
article > h4 > .verdict { justify-self: start; }
article > :not(h4) { margin-left: 6.75rem; }
.meta { display: flex; flex-wrap: wrap; gap: 0 .5rem; margin-top: .15rem; color: var(--quiet); font-size: .875rem; }
.meta > :not(:last-child)::after { content: '·'; margin-left: .5rem; }
.note { margin-top: .5rem; }
details { margin-top: .5rem; }
summary { width: max-content; max-width: 100%; padding: .1rem 0; color: var(--link); font-size: .875rem; cursor: pointer; }
details > p { margin-top: .75rem; font-size: .9375rem; }
pre {
  margin-top: .5rem; padding: .75rem .9rem; background: var(--raised); border: 1px solid var(--rule);
  border-radius: .4rem; line-height: 1.5; white-space: pre-wrap; tab-size: 4;
}
.references { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin-top: .75rem; font-size: .9375rem; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--rule); color: var(--quiet); font-size: .875rem; }

@media (max-width: 34rem) {
  body { padding: 1.5rem 1rem 3rem; }
  h1 { font-size: 1.5rem; }
  h2 { font-size: 1.15rem; }
  thead th { font-size: .75rem; }
  .verdict { padding: .06rem .4rem; }
  .tiles { grid-template-columns: repeat(2, 1fr); }
  article > h4 { grid-template-columns: 1fr; gap: .35rem; }
  article > :not(h4) { margin-left: 0; }
  table { font-size: .875rem; }
  th, td { padding-right: .4rem; }
  .wide thead { position: absolute; clip-path: inset(50%); }
  .wide tr { display: block; padding: .55rem 0; border-bottom: 1px solid var(--rule); }
  .wide th, .wide td { display: block; width: auto; padding: .1rem 0; border: 0; }
  .wide td::before { content: attr(data-head); color: var(--quiet); }
}
@media print {
  :root {
    color-scheme: light;
    --paper: #fff; --raised: #fff; --ink: #000; --quiet: #444; --rule: #bbb; --link: #000;
    --pass: #11612e; --pass-back: #fff; --fail: #a3151b; --fail-back: #fff;
    --unknown: #754600; --unknown-back: #fff; --skip: #4a5462; --skip-back: #fff;
  }
  @page { margin: 1.6cm; }
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  a { text-decoration: none; }
  h2, h3, h4, .meta { break-after: avoid; }
  tr, .outcome { break-inside: avoid; }
  details::details-content { display: block; content-visibility: visible; }
  summary { list-style: none; color: var(--quiet); }
}
`
