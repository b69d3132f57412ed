/**
 * `npm run attack [TARGET…]`: makes every attack of steps/attack in deployments of this tool and in what people do without it, and
 * writes the tables of docs/threats.md. TARGET is chat, coding, official, docker-run or docker-run-as-root; the tables are written
 * when all of them ran. Needs the live environment, and root. Exit codes: 1 when an attack got through ours, 3 when one of them could
 * not be tried there.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { THREATS } from '../src/procedure/step.ts'
import type { Attack, Result } from '../steps/attack/attack.ts'
import { attacks } from '../steps/attack/index.ts'
import { ours, type Stage, setStage, type Target, theirs } from './live/attack-targets.ts'

/** What was seen in one target. */
export interface Column {
  name: string
  ours: boolean
  results: Result[]
}

const POSTURES = ['chat', 'coding']
const OTHERS = ['official', 'docker-run', 'docker-run-as-root'] as const
const BEGIN = '<!-- made by npm run attack: begin -->'
const END = '<!-- end -->'

/** What an attack was stopped by, in words that are the same in each run. */
export function stoppedBy(seen: string): string {
  const words: [RegExp, string][] = [
    [/Tool \S+ not found/, 'the agent has no such tool'],
    [/exec denied|allowlist/i, 'not on the allowlist'],
    [/escapes|workspace/i, 'kept in the workspace'],
    [/nothing was fetched/, 'nothing was fetched'],
    [/no mount$/, 'no permission to mount'],
    [/File not found/, 'not where it looked'],
    [/ENOSYS|EPERM|SIGSYS/, 'refused by the kernel'],
    [/Read-only file system/i, 'read-only'],
    [/No space left/, 'the folder’s size'],
    [/Resource temporarily unavailable/, 'the limit of processes'],
    [/Too many open files/, 'the limit of open files'],
    [/^(Killed )?ended after|Killed/, 'the limit of memory'],
    [/^held back/, 'the limit of processors'],
    [/^proxy:/, 'the proxy'],
    [/unreachable|no route|no answer|timed? ?out|Cannot assign|Alarm clock/i, 'no way there'],
    [/refused/i, 'refused'],
    [/not permitted|Permission denied/i, 'no permission'],
  ]
  const known = words.find(([pattern]) => pattern.test(seen))
  return known?.[1] ?? (seen === '' ? 'nothing came of it' : seen.slice(0, 60))
}

/** The tables of docs/threats.md, in Markdown. */
export function tablesOf(columns: readonly Column[]): string {
  const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;')
  const row = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`
  const of = (column: Column, attack: Attack) => column.results.find(one => one.attack.id === attack.id)
  const counted = (column: Column, threat?: string) => {
    const made = column.results.filter(
      ({ attack }) => attack.residual === undefined && (threat === undefined || attack.threat === threat),
    )
    const count = (outcome: string) => made.filter(result => result.outcome === outcome).length
    const unknown = count('unknown')
    return `${count('through')} of ${made.length} through${unknown > 0 ? `, ${unknown} not tried` : ''}`
  }
  const verdict = (result: Result | undefined) => {
    if (result === undefined) return '—'
    if (result.outcome === 'through') return '**through**'
    return result.outcome === 'stopped' ? stoppedBy(result.seen) : 'not tried'
  }
  const table = (list: readonly Attack[]) => [
    row(['attack', 'what the attacker wants', ...columns.map(column => column.name)]),
    row(['---', '---', ...columns.map(() => '---')]),
    ...list.map(attack =>
      row([`\`${attack.id}\``, attack.title, ...columns.map(column => verdict(of(column, attack)))]),
    ),
    '',
  ]
  const counts = attacks.filter(attack => attack.residual === undefined)
  return [
    '## What got through',
    '',
    row(['threat', 'attacks', ...columns.map(column => column.name)]),
    row(['---', '---', ...columns.map(() => '---')]),
    ...THREATS.map(threat =>
      row([
        threat,
        String(counts.filter(attack => attack.threat === threat).length),
        ...columns.map(column => counted(column, threat)),
      ]),
    ),
    row(['all', String(counts.length), ...columns.map(column => counted(column))]),
    '',
    ...THREATS.flatMap(threat => [
      `## Attacks: ${threat}`,
      '',
      ...table(counts.filter(attack => attack.threat === threat)),
    ]),
    '## What a gateway that was taken over can still do',
    '',
    'Shown here, and counted nowhere above.',
    '',
    ...table(attacks.filter(attack => attack.residual !== undefined)),
    ...attacks.flatMap(({ id, residual }) => (residual === undefined ? [] : [`- \`${id}\`: ${residual}`])),
    '',
  ].join('\n')
}

/** The document with its tables replaced. Errors: when it has no place for them. */
export function withTables(document: string, tables: string): string {
  const [from, to] = [document.indexOf(BEGIN), document.indexOf(END)]
  if (from < 0 || to < from) throw new Error('docs/threats.md has no place for the tables')
  return `${document.slice(0, from + BEGIN.length)}\n\n${tables}\n${document.slice(to)}`
}

async function attackAll(target: Target): Promise<Column> {
  process.stderr.write(`attacking: ${target.name}\n`)
  const results = await target.attack(attacks)
  for (const { attack, outcome, seen } of results)
    if (target.ours ? outcome !== 'stopped' : outcome === 'unknown')
      process.stderr.write(
        `  ${outcome}${attack.residual === undefined ? '' : ' (expected)'}: ${attack.id}: ${seen}\n`,
      )
  return { name: target.name, ours: target.ours, results }
}

async function columnsOf(stage: Stage, wanted: (name: string) => boolean): Promise<Column[]> {
  const columns: Column[] = []
  for (const posture of POSTURES.filter(wanted)) {
    const made = await ours(posture, stage)
    try {
      for (const target of made) columns.push(await attackAll(target))
    } finally {
      for (const target of made) await target.remove()
    }
  }
  for (const name of OTHERS.filter(wanted)) {
    const target = await theirs(name, stage)
    try {
      columns.push(await attackAll(target))
    } finally {
      await target.remove()
    }
  }
  return columns
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const names = process.argv.slice(2)
  const stage = await setStage()
  try {
    const columns = await columnsOf(stage, name => names.length === 0 || names.includes(name))
    const tables = tablesOf(columns)
    process.stdout.write(`${tables.slice(0, tables.indexOf('## Attacks'))}\n`)
    const path = resolve('docs/threats.md')
    if (names.length === 0) writeFileSync(path, withTables(readFileSync(path, 'utf8'), tables))
    const own = columns
      .filter(column => column.ours)
      .flatMap(column => column.results)
      .filter(({ attack }) => attack.residual === undefined)
    const has = (outcome: string) => own.some(result => result.outcome === outcome)
    process.exitCode = has('unknown') ? 3 : has('through') ? 1 : 0
  } finally {
    await stage.close()
  }
}
