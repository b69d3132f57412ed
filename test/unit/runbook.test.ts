import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { RUNBOOKS } from '../../src/deployment/render.ts'
import { UsageError } from '../../src/errors.ts'
import { type Drill, readDrills, recordDrill } from '../../src/evidence/drills.ts'
import { type KnownActions, type Runbook, readRunbook, runbookSchema } from '../../src/procedure/runbook.ts'
import { findRunbooks } from '../../steps/verify/runbooks.ts'
import { anyText } from './generators.ts'
import { some } from './support.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const shipped = (path: string) => readFileSync(resolve(ROOT, path), 'utf8')
const texts = new Map(RUNBOOKS.map(id => [id, shipped(`steps/incident/${id}.yaml`)]))

/** What the shipped runbooks call, and a few more. */
const KNOWN: KnownActions = new Map([
  ...[...texts.values()].flatMap(text =>
    [...text.matchAll(/action: (\S+)/g)].map(([, id = '']) => [id, 'reads'] as const),
  ),
  ['containers.pause', 'contains'],
  ['containers.remove', 'destroys'],
])

const STEP = { title: 'Do it', why: 'Because.', within: '5s' }
const LOOK = { id: 'a.look', ...STEP, action: 'evidence.logs', effect: 'reads' }
const SEAL = { id: 'a.seal', ...STEP, action: 'evidence.seal', effect: 'contains' }
const REMOVE = { id: 'a.remove', ...STEP, action: 'containers.remove', effect: 'destroys' }
const GOOD = { id: 'ours', title: 'Ours', when: 'Then.', contacts: [], drill: '30d', steps: [LOOK] }

function read(data: unknown): Runbook {
  return readRunbook(typeof data === 'string' ? data : stringify(data), 'ours.yaml', KNOWN)
}

/** Everything that is wrong with it, a line each. */
function wrongWith(data: unknown): string[] {
  try {
    read(data)
    return []
  } catch (error) {
    if (error instanceof UsageError) return error.message.split('\n')
    throw error
  }
}

function withStep(change: object): unknown {
  return { ...GOOD, steps: [{ ...LOOK, ...change }] }
}

describe('a runbook', () => {
  it('is read as it is written, with its times in milliseconds and days', () => {
    const text = stringify({
      ...GOOD,
      contacts: ['Zoë, +49 30 1234'],
      steps: [{ ...LOOK, undo: 'Nothing.', within: '500ms' }],
    })
    expect(readRunbook(text, 'x.yaml', KNOWN)).toEqual({
      ...{ id: 'ours', title: 'Ours', when: 'Then.', contacts: ['Zoë, +49 30 1234'], drill: 30, text },
      steps: [
        {
          ...{ id: 'a.look', title: 'Do it', why: 'Because.', effect: 'reads', confirm: 'nobody' },
          ...{ does: { action: 'evidence.logs' }, undo: 'Nothing.', within: 500 },
        },
      ],
    })
  })

  it.each([
    ['500ms', 500],
    ['2s', 2000],
    ['5m', 300_000],
    ['999m', 59_940_000],
  ])('has %s for its %d milliseconds', (within, milliseconds) => {
    expect(read(withStep({ within })).steps[0]?.within).toBe(milliseconds)
  })

  it('asks a person before what destroys, and nobody otherwise, unless it says so', () => {
    const confirms = ({ steps }: Runbook) => steps.map(({ confirm }) => confirm)
    const steps = [{ ...LOOK, confirm: 'person' }, SEAL, REMOVE]
    expect(confirms(read({ ...GOOD, steps }))).toEqual(['person', 'nobody', 'person'])
  })

  it('does what its action does, where it says nothing else; what destroys asks then too', () => {
    const { effect: _, ...remove } = REMOVE
    const last = read({ ...GOOD, steps: [SEAL, remove] }).steps[1]
    expect(last).toMatchObject({ effect: 'destroys', confirm: 'person' })
  })

  it('may be more careful with an action than the action is', () => {
    expect(read(withStep({ effect: 'contains' })).steps[0]?.effect).toBe('contains')
  })

  it('may run a program, word by word: nothing in a word is obeyed', () => {
    const run = ['journalctl', '--unit', '$(id); `id` *', '']
    const step = { id: 'a.own', ...STEP, effect: 'reads', run }
    expect(read({ ...GOOD, steps: [step] }).steps[0]?.does).toEqual({ run })
  })

  it('may be JSON, and may have its words over several lines', () => {
    expect(read(JSON.stringify(GOOD)).id).toBe('ours')
    const text = stringify(GOOD).replace('why: Because.', 'why: >\n      Because\n      of it.')
    expect(read(text).steps[0]?.why).toBe('Because of it.')
  })
})

describe('a bad runbook is refused, with file, line and key, before anything runs', () => {
  it.each<[string, unknown, RegExp]>([
    ['nothing', '', /^ours\.yaml:1 runbook: got "nothing"; allowed: a mapping/],
    ['a list', '- a\n', /^ours\.yaml:1 runbook: got "a list of 1"; allowed: a mapping/],
    ['no YAML', 'id: [', /^ours\.yaml:1 runbook: got "/],
    ['a key twice', `${stringify(GOOD)}id: again\n`, /^ours\.yaml:13 runbook: got "Map keys must be unique"/],
    ['two documents', `${stringify(GOOD)}---\nid: b\n`, /Source contains multiple documents/],
    ['a tag of its own', 'id: !!js/function x\n', /Unresolved tag/],
    ['a key that is no word', '? [a]\n: b\n', /^ours\.yaml:1 runbook: got "a key that is no word"/],
    [
      'an unknown key',
      { ...GOOD, scirpt: 'x' },
      /^ours\.yaml:13 scirpt: got "an unknown key"; allowed: these/,
    ],
    ['a loop', withStep({ repeat: 3 }), /^ours\.yaml:13 repeat: got "an unknown key"/],
    ['a missing key', { ...GOOD, when: undefined }, /^ours\.yaml:1 when: missing; allowed: a text/],
    ['a long title', { ...GOOD, title: 'x'.repeat(101) }, /^ours\.yaml:2 title: got ".*one line of 1 to 100/],
    ['an empty title', { ...GOOD, title: '   ' }, /^ours\.yaml:2 title: got " {3}"/],
    ['a title that hides something', { ...GOOD, title: 'safe \u202e' }, /^ours\.yaml:2 title: got "safe/],
    ['an id that leads elsewhere', { ...GOOD, id: '../x' }, /^ours\.yaml:1 id: got "\.\.\/x"/],
    [
      'a contact that is a number',
      { ...GOOD, contacts: [110] },
      /^ours\.yaml:5 contacts: got "the number 110"/,
    ],
    [
      'a drill for ever',
      { ...GOOD, drill: '367d' },
      /^ours\.yaml:5 drill: got "367d"; allowed: a time from 1d/,
    ],
    ['a drill of no time', { ...GOOD, drill: '0d' }, /^ours\.yaml:5 drill/],
    ['no step', { ...GOOD, steps: [] }, /^ours\.yaml:6 steps: got "a list of 0"; allowed: at least one step/],
    ['a step that is a word', { ...GOOD, steps: ['x'] }, /^ours\.yaml:7 steps: got "x"; allowed: a mapping/],
    ['a step without a dot', withStep({ id: 'look' }), /^ours\.yaml:7 id: got "look"/],
    ['an effect there is not', withStep({ effect: 'writes' }), /^ours\.yaml:12 effect: got "writes"/],
    ['a time without a unit', withStep({ within: 5 }), /^ours\.yaml:10 within: got "the number 5"/],
    ['a time of none', withStep({ within: '0s' }), /^ours\.yaml:10 within: got "0s"/],
    [
      'an unknown action',
      withStep({ action: 'evidence.shred' }),
      /^ours\.yaml:11 action: got "evidence\.shred"; allowed: one of leak\.name/,
    ],
    [
      'neither action nor program',
      withStep({ action: undefined }),
      /action: missing; allowed: either action or run/,
    ],
    ['both of them', withStep({ run: ['id'] }), /^ours\.yaml:11 action: got "an action and a program"/],
    [
      'a program that is one text',
      withStep({ action: undefined, run: 'id -u' }),
      /run: got "id -u"; allowed: a list of a program/,
    ],
    [
      'a program without a name',
      withStep({ action: undefined, run: [''] }),
      /run: got ""; allowed: a program, and its arguments/,
    ],
    [
      'a program with NUL',
      withStep({ action: undefined, run: ['a', 'b\0'] }),
      /run: got "b.*allowed: a text of up to/,
    ],
    [
      'a program that does not say what it does',
      withStep({ action: undefined, effect: undefined, run: ['id'] }),
      /effect: missing; allowed: reads, contains, destroys; of a program/,
    ],
    [
      'a weaker effect than the action has',
      { ...GOOD, steps: [SEAL, { ...REMOVE, effect: 'contains' }] },
      /^ours\.yaml:18 effect: got "contains"; allowed: destroys, which is/,
    ],
    [
      'reading by pausing',
      withStep({ action: 'containers.pause' }),
      /effect: got "reads"; allowed: contains/,
    ],
    [
      'the same id twice',
      { ...GOOD, steps: [LOOK, { ...LOOK }] },
      /^ours\.yaml:13 id: got "a\.look"; allowed: an id that no/,
    ],
    [
      'nobody asked',
      { ...GOOD, steps: [SEAL, { ...REMOVE, confirm: 'nobody' }] },
      /^ours\.yaml:19 confirm: got "nobody"; allowed: person/,
    ],
  ])('%s', (_, data, expected) => {
    const [first, ...more] = wrongWith(data)
    expect(first).toMatch(expected)
    expect(more).toEqual([])
  })

  it.each([
    [['sh', '-c', 'id']],
    [['/bin/bash', '-euc', 'id']],
    [['bash', '--norc', '-lc', 'id']],
    [['env', 'A=b', 'dash', '-c', 'id']],
    [['docker', 'exec', 'gw', 'sh', '-c', 'id']],
    [['busybox', 'ash', '-c', 'id']],
    [['fish', '--command', 'id']],
  ])('a text for a shell, such as %j, since that is a script', run => {
    const data = withStep({ action: undefined, run })
    expect(wrongWith(data)).toEqual([expect.stringMatching(/^ours\.yaml:12 run: got .* is a script$/)])
  })

  it('not a shell that is a word among others, or that reads a file', () => {
    for (const run of [
      ['grep', '-c', 'sh', 'file'],
      ['bash', 'collect.sh'],
      ['ssh', '-c', 'aes', 'host'],
    ])
      expect(wrongWith(withStep({ action: undefined, run }))).toEqual([])
  })

  const tooEarly =
    /^ours\.yaml:\d+ effect: it destroys before the evidence is sealed\. Put a step with the action/
  it.each<[string, object[]]>([
    ['without a seal', [LOOK, REMOVE]],
    ['before the seal', [REMOVE, SEAL]],
    [
      'by a program of one’s own',
      [{ ...LOOK, effect: 'destroys', action: undefined, run: ['rm', '-r', 'x'] }, SEAL],
    ],
  ])('what destroys %s: evidence comes first', (_, steps) => {
    expect(wrongWith({ ...GOOD, steps })).toEqual([expect.stringMatching(tooEarly)])
  })

  it('a second seal, which would sign nothing anew', () => {
    expect(wrongWith({ ...GOOD, steps: [SEAL, { ...SEAL, id: 'a.seal-again' }] })).toEqual([
      expect.stringContaining('once: what was signed is not signed anew'),
    ])
  })

  it('an id that belongs to what ends a case, on something else', () => {
    expect(wrongWith({ ...GOOD, steps: [{ ...LOOK, id: 'case.report' }] })).toEqual([
      expect.stringContaining('id: got "case.report"'),
    ])
  })

  it('also where the runbook hides that its action destroys', () => {
    const wrong = wrongWith({ ...GOOD, steps: [{ ...REMOVE, effect: 'reads' }] })
    expect(wrong).toEqual([
      expect.stringContaining('effect: got "reads"; allowed: destroys'),
      expect.stringMatching(tooEarly),
    ])
  })

  it('everything at once, in the order of the lines', () => {
    const wrong = wrongWith({
      ...GOOD,
      drill: 'never',
      steps: [{ ...LOOK, within: 'soon', action: 'x.y' }, { ...LOOK, why: '', extra: 1 }, REMOVE],
      surplus: true,
    })
    const lines = wrong.map(line => Number(/^ours\.yaml:(\d+) /.exec(line)?.[1]))
    expect(wrong).toHaveLength(8)
    expect(lines).toEqual([...lines].sort((one, other) => one - other))
  })

  it('an alias: what is nested in itself grows without end', () => {
    const bomb = `a: &a [x, x]\n${[...'bcdefghij'].map((key, i) => `${key}: &${key} [${'abcdefghi'[i]}, *${'abcdefghi'[i]}]`).join('\n')}`
    expect(wrongWith(`${bomb}\nz: *j\n`)[0]).toMatch(/got "an alias"; allowed: everything written out/)
  })

  it.each([
    ['too long', `id: ours\n# ${'x'.repeat(70_000)}\n`, /got "70\d+ bytes"; allowed: up to 65536 bytes/],
    ['nested without end', '['.repeat(60_000), /cannot be read as YAML, or is nested too deep/],
    ['nested too deep', `id: ${'['.repeat(30)}${']'.repeat(30)}`, /nested too deep/],
  ])('what is %s', (_, text, expected) => {
    expect(wrongWith(text)).toEqual([expect.stringMatching(expected)])
  })

  it('and shows nothing that a terminal obeys, whatever the keys and the file are called', () => {
    const evil = '\u001b[2J\u0007\u202e'
    const text = stringify({ ...GOOD, [`${evil}${'k'.repeat(300)}`]: evil, title: evil })
    expect(() => readRunbook(text, `${evil}.yaml`, KNOWN)).toThrow(UsageError)
    try {
      readRunbook(text, `${evil}.yaml`, KNOWN)
    } catch (error) {
      expect(String(error).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u)
      expect(String(error).length).toBeLessThan(1500)
    }
  })
})

describe('whatever the text, it is a runbook or a usage error', () => {
  const readOrRefused = (text: string) => {
    try {
      return read(text)
    } catch (error) {
      expect(error).toBeInstanceOf(UsageError)
      expect(some((error as UsageError).problems[0]).field).toMatch(/^ours\.yaml:[1-9]\d* ./)
      return undefined
    }
  }

  it('of any characters', () => {
    fc.assert(
      fc.property(anyText(200), text => void readOrRefused(text)),
      { numRuns: 500 },
    )
  })

  it('made of what YAML is made of', () => {
    const piece = fc.constantFrom(
      ...['id: ', 'steps:\n', '  - ', '&a ', '*a', '!!binary ', '<<: ', '? ', ': ', '{', '}', '[', ']', '"'],
      ...[
        '|\n',
        '>-\n',
        '---\n',
        '...\n',
        '%YAML 1.1\n',
        '# ',
        '\t',
        '\n',
        ' ',
        '__proto__: ',
        'null',
        '~',
        '0x1',
      ],
    )
    const text = fc.array(piece, { maxLength: 40 }).map(pieces => pieces.join(''))
    fc.assert(
      fc.property(text, given => void readOrRefused(given)),
      { numRuns: 500 },
    )
  })

  it('a good one with some of it replaced; what is still taken keeps every rule', () => {
    const whole = some(texts.get('container-compromised'))
    let taken = 0
    fc.assert(
      fc.property(fc.nat(whole.length), fc.nat(60), anyText(12), (from, length, put) => {
        const runbook = readOrRefused(whole.slice(0, from) + put + whole.slice(from + length))
        if (runbook === undefined) return
        taken += 1
        const seal = runbook.steps.findLastIndex(
          ({ does }) => 'action' in does && does.action === 'evidence.seal',
        )
        for (const [index, { effect, confirm }] of runbook.steps.entries())
          if (effect === 'destroys') expect([index > seal, confirm]).toEqual([true, 'person'])
      }),
      { numRuns: 60 },
    )
    expect(taken).toBeGreaterThan(0)
  })
})

describe('the schema that is shipped', () => {
  const schema = JSON.parse(shipped('schemas/runbook.schema.json'))
  // `oneOf` demands keys that are described beside it.
  const validate = new Ajv2020({ strict: true, strictRequired: false, allErrors: true }).compile(schema)

  it('is what the reader demands', () => {
    expect(schema).toEqual(runbookSchema())
  })

  it('takes both runbooks, and what the reader takes', () => {
    for (const text of [...texts.values(), stringify(GOOD)])
      expect([validate(parse(text)), validate.errors]).toEqual([true, null])
  })

  it.each<[string, unknown]>([
    ['an unknown key', { ...GOOD, x: 1 }],
    ['an unknown key of a step', withStep({ x: 1 })],
    ['a missing key', { ...GOOD, contacts: undefined }],
    ['both an action and a program', withStep({ run: ['id'] })],
    [
      'a program that does not say what it does',
      withStep({ action: undefined, effect: undefined, run: ['id'] }),
    ],
    ['a time in words', withStep({ within: 'soon' })],
    ['a title of two lines', { ...GOOD, title: 'a\nb' }],
  ])('refuses %s', (_, data) => {
    expect(validate(JSON.parse(JSON.stringify(data)))).toBe(false)
  })

  it('says of every key what it is for', () => {
    const properties = [schema.properties, schema.properties.steps.items.properties]
    for (const [key, value] of properties.flatMap(one => Object.entries<{ description?: string }>(one)))
      expect(value.description, key).toMatch(/\.$/)
  })
})

describe.each([...texts])('%s, as it is shipped', (id, text) => {
  const runbook = readRunbook(text, `${id}.yaml`, KNOWN)
  const sum = (from: string, to: string, without: string[]) => {
    const at = (step: string) => runbook.steps.findIndex(one => one.id === step)
    const counted = runbook.steps.slice(at(from), at(to) + 1).filter(step => !without.includes(step.id))
    return counted.reduce((all, { within }) => all + within, 0)
  }

  it('begins with the line that lets an editor check it', () => {
    expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=./runbook.schema.json')
  })

  it('leads a person: an id that is the action, a short title, a reason that is no repetition', () => {
    expect(runbook.id).toBe(id)
    for (const step of runbook.steps) {
      expect(step.does).toEqual({ action: step.id })
      expect(step.title.length).toBeLessThan(72)
      expect(step.why.length, step.id).toBeGreaterThan(step.title.length)
      expect(step.why).toMatch(/\.$/)
    }
  })

  it('says how to take back what it changes, but where there is nothing to take back', () => {
    const nothing = ['leak.name', 'evidence.seal', 'containers.remove', 'case.report']
    for (const step of runbook.steps)
      expect(step.undo !== undefined, step.id).toBe(step.effect === 'contains' && !nothing.includes(step.id))
  })

  it('collects whatever an intruder can have left, and signs it before it lets anything be changed', () => {
    const calls = runbook.steps.map(({ does }) => ('action' in does ? does.action : ''))
    const wanted = ['evidence.processes', 'evidence.tmpfs', 'evidence.changes', 'evidence.state']
    expect(calls.filter(call => [...wanted, 'evidence.seal'].includes(call))).toEqual([
      ...wanted,
      'evidence.seal',
    ])
    expect(calls.some(call => ['evidence.logs', 'evidence.records'].includes(call))).toBe(true)
    expect(calls.indexOf('evidence.engine')).toBeLessThan(calls.indexOf('evidence.budget'))
  })

  it('ends with proof and a report', () => {
    expect(runbook.steps.slice(-2).map(({ id: step }) => step)).toEqual(['deployment.verify', 'case.report'])
  })

  if (id === 'container-compromised') {
    it('cuts the networks within two seconds, and seals within a minute when no memory is kept', () => {
      expect(sum('containers.pause', 'networks.cut', [])).toBeLessThanOrEqual(2000)
      expect(sum('containers.pause', 'evidence.seal', ['evidence.memory'])).toBeLessThanOrEqual(60_000)
    })

    it('is at the end within three minutes, besides memory, the images, and the person at the providers', () => {
      const besides = ['evidence.memory', 'image.rebuild', 'providers.keys']
      expect(sum('containers.pause', 'deployment.verify', besides)).toBeLessThanOrEqual(180_000)
    })

    it('takes the volatile first (RFC 3227), and lets nobody in before the secrets are new', () => {
      const order = runbook.steps.map(step => step.id)
      const wanted = [
        ...['containers.pause', 'networks.cut', 'evidence.processes', 'evidence.tmpfs', 'evidence.memory'],
        ...['evidence.logs', 'evidence.state', 'evidence.export', 'evidence.seal', 'containers.remove'],
        ...['state.quarantine', 'gateway.start-closed', 'secrets.rotate', 'gateway.open', 'case.report'],
      ]
      expect(order.filter(step => wanted.includes(step))).toEqual(wanted)
      expect(runbook.steps.filter(({ effect }) => effect === 'destroys').map(step => step.id)).toEqual([
        'containers.remove',
      ])
    })
  } else {
    it('makes worthless what has leaked before it looks at anything, within three seconds of the confirmation', () => {
      const [name, rotate] = runbook.steps
      expect([name?.id, rotate?.id]).toEqual(['leak.name', 'secrets.rotate-leaked'])
      expect(rotate).toMatchObject({ confirm: 'person', within: 3000 })
      expect(runbook.steps.filter(({ effect }) => effect === 'destroys')).toEqual([])
    })

    it('takes the volatile first, once nothing that leaked is good any more, and before it searches', () => {
      const order = runbook.steps.map(step => step.id)
      const wanted = [
        ...['providers.keys', 'evidence.processes', 'evidence.records', 'evidence.tmpfs', 'evidence.changes'],
        ...['evidence.state', 'records.search', 'sessions.review', 'policy.propose', 'evidence.seal'],
      ]
      expect(order.filter(step => wanted.includes(step))).toEqual(wanted)
    })
  }
})

describe('the runbooks of a deployment', () => {
  const layout = { runbooks: '/srv/gw/runbooks' } as never
  const world = (files: Record<string, string>) => ({
    layout,
    file: () => ({ mode: 0o755, uid: 1, links: 1, modified: new Date(0), kind: 'folder' as const }),
    names: () => Object.keys(files),
    text: async (path: string) => some(files[path.slice('/srv/gw/runbooks/'.length)], path),
  })
  const both = Object.fromEntries([...texts].map(([id, text]) => [`${id}.yaml`, text]))
  const find = (files: Record<string, string>) => findRunbooks(world(files), async () => KNOWN)

  it('are all that are there; what is no YAML is not looked at', async () => {
    const { read, wrong } = await find({
      ...both,
      'ours.yaml': stringify(GOOD),
      'README.md': 'x',
      'x.json': '{',
    })
    expect([[...read.keys()], wrong]).toEqual([
      RUNBOOKS.map(id => `runbooks/${id}.yaml`)
        .concat('runbooks/ours.yaml')
        .sort(),
      [],
    ])
  })

  it('that cannot be read are named with file and line, and once', async () => {
    const { read, wrong } = await find({ ...both, 'credential-exposed.yaml': 'id: [' })
    expect([...read.keys()]).toEqual(['runbooks/container-compromised.yaml'])
    expect(wrong).toEqual([expect.stringMatching(/^runbooks\/credential-exposed\.yaml:1 runbook: got/)])
  })

  it('that are not there are named', async () => {
    expect((await find({})).wrong).toEqual([
      'runbooks/credential-exposed.yaml is not there',
      'runbooks/container-compromised.yaml is not there',
    ])
  })

  it('have the names by which an incident finds them', async () => {
    const { wrong } = await find({ ...both, 'other.yaml': stringify(GOOD), 'ours.yml': stringify(GOOD) })
    expect(wrong).toEqual([
      'runbooks/other.yaml has the id ours: name it ours.yaml',
      'runbooks/ours.yml has the id ours: name it ours.yaml',
    ])
  })
})

describe('the record of drills', () => {
  const own = mkdtempSync(join(tmpdir(), 'ocs-unit-drills-'))
  afterAll(() => rmSync(own, { recursive: true, force: true }))
  const drill: Drill = { at: '2026-11-23T01:40:00.000Z', deeds: 'd', ok: true, seconds: 93.4, missed: [] }

  it('has none before the first, and then the last of each runbook', () => {
    expect(readDrills({ own })).toEqual(new Map())
    recordDrill({ own }, 'a', { ...drill, ok: false, missed: ['a beacon'] })
    recordDrill({ own }, 'b', drill)
    recordDrill({ own }, 'a', drill)
    expect(readDrills({ own })).toEqual(
      new Map([
        ['a', drill],
        ['b', drill],
      ]),
    )
  })

  it.each([
    '',
    '[]',
    'null',
    '{"a": {}}',
    '{"a": true}',
    JSON.stringify({ a: { ...drill, ok: 'yes' } }),
    JSON.stringify({ a: { ...drill, at: 'now' } }),
    JSON.stringify({ a: { ...drill, more: 1 } }),
  ])('that says %j says nothing, and is not written over', text => {
    writeFileSync(join(own, 'drills.json'), text)
    for (const use of [() => readDrills({ own }), () => recordDrill({ own }, 'a', drill)])
      expect(use).toThrow(expect.objectContaining({ code: 'drills_unreadable' }))
    expect(readFileSync(join(own, 'drills.json'), 'utf8')).toBe(text)
  })
})
