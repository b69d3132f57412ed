import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { readAnswers, sameAnswers, writeAnswers } from '../../src/wizard/answers-file.ts'
import { fillIn } from '../../src/wizard/gather.ts'
import { questions } from '../../src/wizard/questions.ts'
import { anyAnswers, anyText, hostile } from './generators.ts'
import { ANSWERS, computed, PLACE } from './support.ts'

const read = (text: string) => readAnswers(text, 'answers.yaml')
/** The problems, each as "field: given". */
const problems = (text: string) => read(text).problems.map(({ field, given }) => `${field}: ${given}`)

describe('answers that are written and read again', () => {
  it('are the same, whatever they are', () => {
    fc.assert(
      fc.property(anyAnswers, answers => {
        const back = read(writeAnswers(answers))
        expect(back.problems).toEqual([])
        expect(fillIn(back.answers, new Map(), PLACE, true)).toEqual({ answers, open: [] })
      }),
      { numRuns: 80 },
    )
  })

  it('stay the same when they are written once more', () => {
    fc.assert(
      fc.property(anyAnswers, answers => {
        const text = writeAnswers(answers)
        const { answers: back } = fillIn(read(text).answers, new Map(), PLACE, true)
        expect(writeAnswers({ ...answers, ...back })).toBe(text)
      }),
      { numRuns: 30 },
    )
  })

  it('hold no answer to a question that does not arise', () => {
    const text = writeAnswers(ANSWERS)
    for (const word of ['proxy', 'ssh', 'base', 'reference', 'model'])
      expect(parse(text)).not.toHaveProperty(`access.${word}`)
    expect(Object.keys(parse(text).access)).toEqual(['mode', 'port', 'firewall'])
    expect(Object.keys(parse(text).image)).toEqual(['from', 'version', 'companions'])
  })

  it('have the question’s own words beside every key', () => {
    const text = writeAnswers(ANSWERS)
    for (const question of questions.filter(one => one.when?.(ANSWERS) !== false)) {
      const lines = text.split('\n')
      // Several sections have a "mode".
      const section = lines.findIndex(line => line.startsWith(`${question.path[0]}:`))
      const at = lines.findIndex(
        (line, index) =>
          index >= section &&
          line.startsWith(`${'  '.repeat(question.path.length - 1)}${question.path.at(-1)}:`) &&
          line !== 'version: 1',
      )
      expect(lines[at - 1], question.id).toContain(`# ${question.help}`)
    }
  })

  it('are equal only when every answer is', () => {
    expect(sameAnswers(ANSWERS, { ...ANSWERS })).toBe(true)
    expect(sameAnswers(ANSWERS, { ...ANSWERS, contact: 'x' })).toBe(false)
    expect(sameAnswers(ANSWERS, { ...ANSWERS, providers: [{ id: 'openai' }] })).toBe(false)
  })
})

describe('an answers file', () => {
  it('may be YAML or JSON', () => {
    const answers = {
      name: 'gw-1',
      posture: 'workspace',
      port: 2000,
      providers: [{ id: 'openai' }],
      firewall: true,
    }
    expect(
      read(
        'version: 1\nname: gw-1\nagent:\n  posture: workspace\n  providers: [openai]\naccess:\n  port: 2000\n  firewall: true\n',
      ),
    ).toEqual({ answers, problems: [] })
    expect(
      read(
        '{"version":1,"name":"gw-1","agent":{"posture":"workspace","providers":["openai"]},"access":{"port":2000,"firewall":true}}',
      ),
    ).toEqual({ answers, problems: [] })
  })

  it('may be empty, or only comments', () => {
    for (const text of ['', '\n\n', '# nothing yet\n', 'access:\n', 'agent: {}\n'])
      expect(read(text)).toEqual({ answers: {}, problems: [] })
  })

  it('may begin with a byte order mark and have Windows line ends', () => {
    expect(read('\ufeffname: gw-1\r\naccess:\r\n  port: 2000\r\n')).toEqual({
      answers: { name: 'gw-1', port: 2000 },
      problems: [],
    })
  })

  const malformed: Record<string, [text: string, line: number]> = {
    'an open bracket': ['name: gw\nagent: {posture: chat', 2],
    'an open quote': ['name: gw\naccess:\n  mode: "ssh', 3],
    'a tab as indentation': ['name: gw\naccess:\n\tport: 1\n', 3],
    'a key twice': ['name: gw\nname: other\n', 2],
    'a key twice further down': ['access:\n  port: 2000\n  mode: ssh\n  port: 3000\n', 4],
    'a second document': ['name: gw\n---\nname: other\n', 2],
    'an anchor that nobody set': ['name: gw\ntimezone: *nobody\n', 2],
  }
  for (const [what, [text, line]] of Object.entries(malformed))
    it(`with ${what} is refused with the line`, () => {
      const { answers, problems: found } = read(text)
      expect(found[0]?.field).toContain(`answers.yaml, line ${line}`)
      expect(answers).not.toHaveProperty('timezone')
    })

  for (const [what, text] of Object.entries({
    'a list': '- name',
    'a word': 'name',
    'a number': '1',
    'a list of mappings': '[{"name":"gw"}]',
    true: 'true',
  }))
    it(`that is ${what} is refused`, () => {
      expect(read(text)).toMatchObject({ answers: {}, problems: [{ allowed: 'a YAML mapping' }] })
    })
})

describe('a key nobody knows', () => {
  it('is refused with its line and the nearest one there is', () => {
    const { problems: found } = read('name: gw\naccess:\n  prot: 2000\n')
    expect(found).toEqual([
      expect.objectContaining({
        field: 'access.prot (answers.yaml, line 3)',
        given: 'an unknown key',
        allowed: expect.stringMatching(/^access\.port perhaps/),
      }),
    ])
  })

  it.each([
    ['nmae: x', 'name'],
    ['agent: {posturee: chat}', 'agent.posture'],
    ['limits: {memory: 2048}', 'limits.memoryMiB'],
    ['timezon: UTC', 'timezone'],
    ['incident: {contcat: x}', 'incident.contact'],
  ])('%s: the suggestion is %s', (text, suggestion) => {
    expect(read(text).problems[0]?.allowed).toMatch(
      new RegExp(`^${suggestion.replaceAll('.', '\\.')} perhaps`),
    )
  })

  it.each([
    '__proto__: {name: x}',
    'constructor: {name: x}',
    '{"__proto__": {"name": "x"}}',
    'access: {__proto__: {port: 1}}',
    'toString: x',
    'access: {constructor: {prototype: {port: 2000}}}',
    'hasOwnProperty: true',
  ])('%s is one like any other', text => {
    expect(read(text)).toMatchObject({ answers: {}, problems: [{ given: 'an unknown key' }] })
    expect(Reflect.get({}, 'name')).toBeUndefined()
    expect(Reflect.get({}, 'port')).toBeUndefined()
  })

  it.each([
    '? [a]\n: b',
    '? {a: 1}\n: b',
    '1: x',
    'null: x',
    '"": x',
    '<<: {name: gw}',
    '%YAML 1.1\n---\n<<: {name: gw}',
    '"access": {"": 1}',
  ])('%j is refused, odd as it is', text => {
    expect(read(text)).toMatchObject({ answers: {}, problems: [{ given: 'an unknown key' }] })
  })

  it('is one that spells a path with dots: an answer has one place', () => {
    expect(problems('"agent.posture": workspace\nagent: {posture: chat}')).toHaveLength(1)
    expect(problems('access.port: 2000')).toHaveLength(1)
  })
})

describe('a value of the wrong type', () => {
  it.each([
    ['access: {port: "18789"}', 'access.port', 'a string: "18789"'],
    ['access: {port: 18789.5}', 'access.port', 'a number: 18789.5'],
    ['access: {port: [18789]}', 'access.port', 'a list: [18789]'],
    ['access: {firewall: "yes"}', 'access.firewall', 'a string: "yes"'],
    ['access: {firewall: 1}', 'access.firewall', 'a number: 1'],
    ['name: 12345', 'name', 'a number: 12345'],
    ['name: true', 'name', 'a boolean: true'],
    ['name: null', 'name', 'nothing: null'],
    ['name: {first: x}', 'name', 'a mapping: {"first":"x"}'],
    ['agent: {providers: openai}', 'agent.providers', 'a string: "openai"'],
    ['agent: {providers: [openai, 1]}', 'agent.providers', 'a list: ["openai",1]'],
    ['agent: chat', 'agent', 'a string: "chat"'],
    ['access: [ssh]', 'access', 'a list'],
    ['version: 2', 'version', '2'],
    ['version: "1"', 'version', '1'],
  ])('%s is a problem that shows it', (text, field, given) => {
    const found = problems(text)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(`${field} (answers.yaml, line 1): ${given}`)
  })

  it('does not keep the other answers from being read: all problems come at once', () => {
    const { answers, problems: found } = read(
      'name: gw-1\naccess: {port: x, mode: y}\nlimits: {pids: 1}\nfoo: 1',
    )
    expect(found).toHaveLength(4)
    expect(answers).toEqual({ name: 'gw-1' })
  })
})

describe('anchors and aliases', () => {
  const nine = (name: string, of: string) => `${name}: &${name} [${Array(9).fill(of).join(', ')}]\n`
  const bomb = ['b', 'c', 'd', 'e', 'f', 'g', 'h'].reduce(
    (text, name, index) => text + nine(name, `*${'abcdefg'[index]}`),
    nine('a', 'x'),
  )
  const cases: Record<string, string> = {
    'an alias for a value': 'name: &a gw-1\ntimezone: *a\n',
    'an alias inside a list': 'name: &a openai\nagent: {providers: [*a]}\n',
    'a list that holds itself': 'agent:\n  providers: &p [openai, *p]\n',
    'an alias for a mapping': 'agent: &a {posture: chat}\naccess: *a\n',
    'an alias as a key': 'name: &a gw-1\n*a : x\n',
    'a bomb where a list is expected': `${bomb}agent:\n  providers: *h\n`,
    'a bomb inside a list': `${bomb}agent:\n  providers: [*h, *h]\n`,
    'a bomb instead of a mapping': `- &a [${Array(9).fill('x').join()}]\n- &b [${Array(9).fill('*a').join()}]\n- &c [${Array(9).fill('*b').join()}]\n- [*c, *c, *c]\n`,
  }
  for (const [what, text] of Object.entries(cases))
    it(`${what} is a problem, found at once`, () => {
      const took = computed(() => expect(read(text).problems.length).toBeGreaterThan(0))
      expect(took).toBeLessThan(3000)
    })
})

describe('whatever a file holds', () => {
  it('it is read or refused, never a crash', () => {
    const files = fc.oneof(
      anyText(60),
      hostile,
      fc
        .tuple(fc.constantFrom(...questions.map(question => question.path)), hostile)
        .map(
          ([path, text]) => `${path.map((key, depth) => `${'  '.repeat(depth)}${key}:`).join('\n')} ${text}`,
        ),
      fc.json({ maxDepth: 3 }),
    )
    fc.assert(
      fc.property(files, text => {
        const { answers, problems: found } = read(text)
        // An answer that is taken is one its question takes.
        return (
          found.every(problem => problem.allowed !== '') &&
          questions.every(
            ({ id, kind }) =>
              answers[id] === undefined || kind.fromText(kind.toText(answers[id])) !== undefined,
          )
        )
      }),
      { numRuns: 400 },
    )
  })

  it('nothing nested thousands deep brings the reader down', () => {
    for (const text of [
      '['.repeat(1500),
      `agent: ${'{agent: '.repeat(600)}`,
      `agent:\n  providers: ${'['.repeat(500)}${']'.repeat(500)}`,
    ])
      expect(read(text).problems.length).toBeGreaterThan(0)
  })
})
