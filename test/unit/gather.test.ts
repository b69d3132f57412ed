import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Answers } from '../../src/deployment/answers.ts'
import { sameAnswers } from '../../src/wizard/answers-file.ts'
import { asArguments, crossCheck, fillIn, gather, missing, type Sources } from '../../src/wizard/gather.ts'
import { type AnswerId, environmentName } from '../../src/wizard/question.ts'
import { questions } from '../../src/wizard/questions.ts'
import { anyAnswers } from './generators.ts'
import { ANSWERS, PLACE, some } from './support.ts'

function gathered(sources: Partial<Sources> & { yaml?: string; savedYaml?: string } = {}) {
  const { yaml, savedYaml, ...rest } = sources
  return gather({
    flags: {},
    build: false,
    environment: {},
    ...(yaml === undefined ? {} : { file: { name: 'answers.yaml', text: yaml } }),
    ...(savedYaml === undefined ? {} : { saved: { name: 'deployment.yaml', text: savedYaml } }),
    ...rest,
  })
}

/** The fields something is wrong with. */
function fields(problems: readonly { field: string }[]): string[] {
  return problems.map(problem => problem.field)
}

/** What commander makes of arguments: the texts of each flag, and `--build`. */
function parse(args: readonly string[]): Pick<Sources, 'flags' | 'build'> {
  const flags: Partial<Record<AnswerId, string[]>> = {}
  let build = false
  for (let at = 0; at < args.length; at++) {
    const flag = some(args[at])
    if (flag === '--build') {
      build = true
      continue
    }
    const question = some(
      questions.find(one => one.flag === flag || `--no-${one.flag.slice(2)}` === flag),
      flag,
    )
    const isSwitch = question.kind.placeholder === ''
    const value = isSwitch ? (flag === question.flag ? 'yes' : 'no') : some(args[++at], `value of ${flag}`)
    flags[question.id] = [...(flags[question.id] ?? []), value]
  }
  return { flags, build }
}

describe('where an answer comes from', () => {
  const everywhere = {
    flags: { port: ['1111'] },
    environment: { OPENCLAW_SECURE_PORT: '2222' },
    yaml: 'access: {port: 3333}',
    savedYaml: 'access: {port: 4444}',
  }

  it('a flag beats the environment, the answers file and what is saved', () => {
    const { answers, origins } = gathered(everywhere)
    expect(answers.port).toBe(1111)
    expect(origins.get('port')).toBe('flag')
  })

  it('the environment beats the answers file and what is saved', () => {
    const { answers, origins } = gathered({ ...everywhere, flags: {} })
    expect(answers.port).toBe(2222)
    expect(origins.get('port')).toBe('environment')
  })

  it('the answers file beats what is saved', () => {
    const { answers, origins } = gathered({ ...everywhere, flags: {}, environment: {} })
    expect(answers.port).toBe(3333)
    expect(origins.get('port')).toBe('answers file')
  })

  it('what is saved beats the default', () => {
    const { answers, origins } = gathered({ savedYaml: everywhere.savedYaml })
    expect(answers.port).toBe(4444)
    expect(origins.get('port')).toBe('saved')
    expect(fillIn(answers, origins, PLACE, true).answers.port).toBe(4444)
  })

  it('nowhere: the question stays open, and --yes takes its default', () => {
    const { answers, origins } = gathered()
    expect(answers.port).toBeUndefined()
    expect(fillIn(answers, origins, PLACE, false).open.map(question => question.id)).toContain('port')
    expect(fillIn(answers, origins, PLACE, true)).toEqual({ answers: ANSWERS, open: [] })
    expect(origins.get('port')).toBe('default')
  })

  it('a stronger source that is wrong is a problem; the weaker one does not stand in for it', () => {
    const { answers, problems } = gathered({ ...everywhere, flags: { port: ['http'] } })
    expect(answers.port).toBeUndefined()
    expect(problems).toEqual([expect.objectContaining({ field: 'port', given: 'http', flag: '--port' })])
  })

  it('other variables of the environment answer nothing', () => {
    expect(
      gathered({ environment: { PORT: '1', OPENCLAW_PORT: '2', OPENCLAW_SECURE_PORTS: '3', NAME: 'x' } }),
    ).toMatchObject({ answers: {}, problems: [] })
  })

  it('an empty variable is an answer, and a wrong one where empty is not allowed', () => {
    expect(fields(gathered({ environment: { OPENCLAW_SECURE_PORT: '' } }).problems)).toEqual(['port'])
  })
})

describe('everything wrong is found at once', () => {
  it('from all sources, each with the place that sets it', () => {
    const { problems } = gathered({
      flags: { port: ['http'], name: ['X'] },
      environment: { OPENCLAW_SECURE_MEMORY: '1', OPENCLAW_SECURE_FIREWALL: 'maybe' },
      yaml: 'limits: {pids: many}\naccess: {prot: 1}',
      savedYaml: 'timezone: Mars/Olympus',
    })
    expect(problems).toHaveLength(7)
    for (const flag of [
      '--port',
      '--name',
      'OPENCLAW_SECURE_MEMORY',
      'OPENCLAW_SECURE_FIREWALL',
      '--pids',
      '--timezone',
    ])
      expect(problems.map(problem => problem.flag)).toContain(flag)
    expect(fields(problems)).toContainEqual(expect.stringContaining('access.prot'))
  })

  it('a file that cannot be read at all is one problem beside the others', () => {
    expect(gathered({ flags: { port: ['x'] }, yaml: 'a: [' }).problems.length).toBeGreaterThanOrEqual(2)
  })

  it('every question without an answer is listed with its flag and its variable', () => {
    const { answers, open } = fillIn(
      { access: 'proxy', providers: [{ id: 'mine', url: 'https://x.example' }] },
      new Map(),
      PLACE,
      true,
    )
    expect(open.map(question => question.id)).toEqual(['model', 'proxyHost'])
    for (const question of open) {
      const problem = missing(question, answers, PLACE)
      expect(problem.given).toBeUndefined()
      expect(problem.flag).toContain(question.flag)
      expect(problem.flag).toContain(environmentName(question))
      expect(problem.flag).not.toContain('--yes')
    }
  })

  it('a question with a default says that --yes takes it', () => {
    const question = some(questions.find(one => one.id === 'port'))
    expect(missing(question, {}, PLACE).flag).toContain('--yes for "18789"')
  })
})

describe('contradictions', () => {
  it('one flag with two values', () => {
    const { answers, problems } = gathered({ flags: { port: ['1111', '2222'] } })
    expect(problems).toEqual([expect.objectContaining({ field: 'port', given: '1111 and 2222' })])
    expect(answers.port).toBeUndefined()
  })

  it('one flag twice with the same value is none', () => {
    expect(gathered({ flags: { port: ['1111', '1111'] } })).toMatchObject({
      answers: { port: 1111 },
      problems: [],
    })
  })

  it('several --provider are a list, and the same one twice is refused', () => {
    expect(gathered({ flags: { providers: ['openai', 'anthropic'] } }).answers.providers).toEqual([
      { id: 'openai' },
      { id: 'anthropic' },
    ])
    expect(fields(gathered({ flags: { providers: ['openai', 'openai'] } }).problems)).toEqual(['providers'])
  })

  const twoImages: Record<string, Partial<Sources>> = {
    '--build and --image': { build: true, flags: { imageReference: ['a:b'] } },
    '--build and --image-from official': { build: true, flags: { image: ['official'] } },
    '--image and --image-from build': { flags: { imageReference: ['a:b'], image: ['build'] } },
    '--image and --image-from official': { flags: { imageReference: ['a:b'], image: ['official'] } },
  }
  for (const [what, sources] of Object.entries(twoImages))
    it(what, () => {
      const { problems } = gathered(sources)
      expect(fields(problems)).toEqual(['image'])
      expect(problems[0]?.given).toContain(' and ')
    })

  it('--build says where the image comes from, over what is saved', () => {
    expect(gathered({ build: true, savedYaml: 'image: {from: official}' })).toMatchObject({
      answers: { image: 'build' },
      problems: [],
    })
    expect(gathered({ build: true, flags: { image: ['build'] } })).toMatchObject({
      answers: { image: 'build' },
      problems: [],
    })
  })

  it('--image does as well', () => {
    expect(gathered({ flags: { imageReference: ['a:b'] }, savedYaml: 'image: {from: build}' })).toMatchObject(
      { answers: { image: 'reference', imageReference: 'a:b' }, problems: [] },
    )
  })
})

describe('answers without a meaning', () => {
  const check = (sources: Partial<Sources> & { yaml?: string; savedYaml?: string }) => {
    const { answers, origins } = gathered(sources)
    const given = new Set([...origins].filter(([, origin]) => origin !== 'saved').map(([id]) => id))
    return crossCheck(fillIn(answers, origins, PLACE, true).answers, given)
  }

  const pointless: [string, Partial<Record<AnswerId, string[]>>, string][] = [
    ['--proxy-host without --access proxy', { proxyHost: ['x.example'] }, '--access proxy'],
    ['--ssh-target without --access ssh', { sshTarget: ['a@b'] }, '--access ssh'],
    ['--base-image without --build', { baseImage: ['node:24'] }, '--build'],
    ['--model without --provider', { model: ['openai/x'] }, '--provider'],
    ['--openclaw-version beside --image', { version: ['2026.9.6'], imageReference: ['a:b'] }, '--image'],
    [
      '--proxy-key with --access ssh',
      { proxyKey: ['/k'], access: ['ssh'], sshTarget: ['a@b'] },
      '--access proxy',
    ],
  ]
  it.each(pointless)('%s is a problem that names what is missing', (_, flags, needs) => {
    expect(check({ flags })).toEqual([
      expect.objectContaining({
        allowed: expect.stringContaining(needs),
        flag: expect.stringMatching(/^--/),
      }),
    ])
  })

  it('they count in an answers file and in the environment too', () => {
    expect(fields(check({ yaml: 'access: {proxy: {host: x.example}}' }))).toEqual(['proxyHost'])
    expect(fields(check({ environment: { OPENCLAW_SECURE_PROXY_HOST: 'x.example' } }))).toEqual(['proxyHost'])
  })

  it('a saved one is forgotten, so that changing one’s mind takes one flag', () => {
    const { answers, origins } = gathered({
      flags: { access: ['loopback'] },
      savedYaml: 'access: {mode: proxy, proxy: {host: x.example}}',
    })
    const filled = fillIn(answers, origins, PLACE, true)
    expect(filled.answers).toMatchObject({ access: 'loopback', proxyHost: '' })
    expect(filled.open).toEqual([])
  })

  it('a value that is well formed and not possible is a problem of its flag', () => {
    const local = { providers: ['local=http://ollama:11434/v1'], model: ['local/m'] }
    expect(check({ flags: { ...local, egress: ['closed'] } })).toEqual([
      expect.objectContaining({ field: 'egress', flag: '--egress', given: 'closed' }),
    ])
    expect(fields(check({ flags: { providers: ['openai'], model: ['anthropic/x'] } }))).toEqual(['model'])
  })

  it('nothing is wrong with what --yes takes', () => {
    expect(check({})).toEqual([])
    // A choice has no empty answer: where its question does not arise, nobody gives one.
    const given = questions.filter(one => one.kind.options === undefined || one.when?.(ANSWERS) !== false)
    expect(crossCheck(ANSWERS, new Set(given.map(question => question.id)))).toEqual([])
  })
})

describe('what --yes accepts', () => {
  it('never weakens: no default opens the agent, the network or the limits', () => {
    const { answers } = fillIn({}, new Map(), PLACE, true)
    expect(answers).toMatchObject({ posture: 'chat', access: 'loopback', providers: [], store: 'docker' })
    expect(answers.memory).toBeLessThanOrEqual(2048)
    expect(answers.pids).toBeLessThanOrEqual(256)
  })

  it('asks about the firewall only where the engine lets neighbours in', () => {
    const open = (exposedToNeighbours: boolean) =>
      fillIn({}, new Map(), { ...PLACE, exposedToNeighbours }, false).open.map(question => question.id)
    expect(open(true)).toContain('firewall')
    expect(open(false)).not.toContain('firewall')
  })
})

describe('the arguments that repeat a set of answers', () => {
  const again = (answers: Answers) => {
    const read = gathered(parse(asArguments(answers, PLACE)))
    const given = new Set(read.origins.keys())
    return { ...read, given, filled: fillIn(read.answers, read.origins, PLACE, true) }
  }

  it('are none for the defaults', () => {
    expect(asArguments(ANSWERS, PLACE)).toEqual([])
  })

  it('give the same answers again, whatever they are', () => {
    fc.assert(
      fc.property(anyAnswers, answers => {
        const { given, problems, filled } = again(answers)
        expect({ problems, answers: filled.answers, open: filled.open }).toEqual({
          problems: [],
          answers,
          open: [],
        })
        expect(sameAnswers(filled.answers as Answers, answers)).toBe(true)
        expect(crossCheck(filled.answers, given)).toEqual([])
      }),
      { numRuns: 200 },
    )
  })

  it('give a text back that begins like a flag or is full of quotes', () => {
    for (const contact of ['--yes', '-x', `'"\\ $HOME; #`, '$(id)'])
      expect(again({ ...ANSWERS, contact }).filled.answers.contact).toBe(contact)
  })
})
