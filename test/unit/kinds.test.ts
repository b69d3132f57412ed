import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Answers } from '../../src/deployment/answers.ts'
import {
  choice,
  integer,
  isHostName,
  isImageReference,
  list,
  provider,
  text,
  yesNo,
} from '../../src/wizard/kinds.ts'
import { environmentName, type Question } from '../../src/wizard/question.ts'
import { questions } from '../../src/wizard/questions.ts'
import { anyText } from './generators.ts'
import { ANSWERS, PLACE, some } from './support.ts'

/** For every question a set of answers in which it arises, and a valid text for it. */
const PROXY: Answers = {
  ...ANSWERS,
  access: 'proxy',
  proxyHost: 'openclaw.example.org',
  proxyCertificate: '/etc/ssl/a.pem',
  proxyKey: '/etc/ssl/a.key',
}
const CODING: Answers = { ...ANSWERS, posture: 'coding', agentPrograms: ['git'] }
const VAULT: Answers = {
  ...ANSWERS,
  store: 'vault',
  vaultAddress: 'https://vault.example:8200',
  vaultRole: 'role',
}
const EXAMPLES: Record<keyof Answers, { world: Answers; text: string }> = {
  name: { world: ANSWERS, text: 'my-gateway' },
  posture: { world: ANSWERS, text: 'workspace' },
  providers: { world: ANSWERS, text: 'openai,local=http://127.0.0.1:8080/v1' },
  model: { world: { ...ANSWERS, providers: [{ id: 'openai' }] }, text: 'openai/gpt-6.1:mini' },
  agentSandbox: { world: CODING, text: 'docker' },
  agentPrograms: { world: CODING, text: 'git,make' },
  agentPackages: { world: CODING, text: 'golang' },
  image: { world: ANSWERS, text: 'build' },
  version: { world: ANSWERS, text: '2026.9.6' },
  imageReference: {
    world: { ...ANSWERS, image: 'reference' },
    text: 'registry.example:5000/team/openclaw:2026.9.6',
  },
  baseImage: { world: { ...ANSWERS, image: 'build' }, text: 'node:24-bookworm-slim' },
  companionBase: { world: ANSWERS, text: 'debian:bookworm-slim' },
  egress: { world: ANSWERS, text: 'open' },
  egressHosts: { world: ANSWERS, text: 'api.example.org,*.example.net' },
  egressResolver: { world: ANSWERS, text: '9.9.9.9' },
  seccomp: { world: ANSWERS, text: 'docker-default' },
  access: { world: ANSWERS, text: 'ssh' },
  port: { world: ANSWERS, text: '18789' },
  firewall: { world: ANSWERS, text: 'yes' },
  sshTarget: { world: { ...ANSWERS, access: 'ssh' }, text: 'admin@host.example:2222' },
  proxyHost: { world: PROXY, text: 'openclaw.example.org' },
  proxyCertificate: { world: PROXY, text: '/etc/letsencrypt/live/x/fullchain.pem' },
  proxyKey: { world: PROXY, text: '/etc/letsencrypt/live/x/privkey.pem' },
  store: { world: ANSWERS, text: 'docker' },
  seal: { world: ANSWERS, text: 'host' },
  vaultAddress: { world: VAULT, text: 'https://vault.example:8200' },
  vaultCa: { world: VAULT, text: '/etc/ssl/vault-ca.pem' },
  vaultNamespace: { world: VAULT, text: 'team/ops' },
  vaultMount: { world: VAULT, text: 'secret' },
  vaultPath: { world: VAULT, text: 'openclaw/my-gateway' },
  vaultAuth: { world: VAULT, text: 'jwt' },
  vaultAuthMount: { world: VAULT, text: 'approle' },
  vaultRole: { world: VAULT, text: '5b1f0a3c-1f52-4b39-9f60-6f3d0b1f9e11' },
  onepasswordVault: {
    world: { ...ANSWERS, store: '1password' },
    text: 'abcdefghijklmnopqrstuvwxyz',
  },
  credentialFile: { world: VAULT, text: '/etc/openclaw/secret-id' },
  extraSecrets: { world: ANSWERS, text: 'telegram_bot_token,search_key' },
  memory: { world: ANSWERS, text: '2048' },
  cpus: { world: ANSWERS, text: '2' },
  pids: { world: ANSWERS, text: '256' },
  stateLimit: { world: ANSWERS, text: '4096' },
  apparmor: { world: ANSWERS, text: 'yes' },
  timezone: { world: ANSWERS, text: 'Europe/Berlin' },
  contact: { world: ANSWERS, text: 'Zoë (on call), +49 30 1234 "night" \\o/' },
}

const UNGUESSABLE = [
  'sshTarget',
  'proxyHost',
  'imageReference',
  'vaultAddress',
  'vaultRole',
  'onepasswordVault',
]

const DANGEROUS = [
  '\0',
  '\t',
  '\n',
  '\r',
  '\u000b',
  '\u001b',
  '\u007f',
  '\u0085',
  '\u009b',
  '\u00ad',
  '\u200b',
  '\u200e',
  '\u2028',
  '\u2029',
  '\u202e',
  '\u2066',
  '\ufeff',
  '\ud800',
  '\udfff',
  '\ue000',
  '\u{e0001}',
]

describe('the questions', () => {
  for (const name of ['id', 'flag', 'path'] as const)
    it(`have a ${name} each of their own`, () => {
      const all = questions.map(question => String(question[name]))
      expect(new Set(all).size).toBe(all.length)
    })

  it('have an environment variable each of their own, named after the flag', () => {
    const all = questions.map(environmentName)
    expect(new Set(all).size).toBe(all.length)
    for (const name of all) expect(name).toMatch(/^OPENCLAW_SECURE_[A-Z][A-Z0-9_]*$/)
    expect(environmentName({ flag: '--openclaw-version' })).toBe('OPENCLAW_SECURE_OPENCLAW_VERSION')
  })

  it('never lie inside one another in deployment.yaml', () => {
    const paths = questions.map(question => question.path.join('.'))
    for (const path of paths) for (const other of paths) expect(other.startsWith(`${path}.`)).toBe(false)
  })

  it('collide with no flag that every command has', () => {
    const flags = questions.map(question => question.flag)
    for (const flag of [
      '--dir',
      '--yes',
      '--answers',
      '--dry-run',
      '--json',
      '--quiet',
      '--plain',
      '--color',
      '--build',
      '--launch',
      '--token',
      '--provider-key',
    ])
      expect(flags).not.toContain(flag)
  })

  it('that need something say what, so that an answer without it can be explained', () => {
    for (const question of questions)
      if (question.when !== undefined) expect(question.needs, question.id).toBeTruthy()
  })
})

describe.each(questions.map(question => [question.id, question] as [string, Question]))(
  'the question about %s',
  (_, question) => {
    const { world, text: example } = EXAMPLES[question.id]
    const { kind } = question

    it('reads its default back from its written form', () => {
      const { [question.id]: _own, ...rest } = world
      expect(question.when?.(world)).not.toBe(false)
      const fallback = question.fallback(rest, PLACE)
      // No default: there is no good guess, and it has to be answered.
      if (fallback === undefined) expect(UNGUESSABLE).toContain(question.id)
      else {
        expect(kind.fromText(kind.toText(fallback))).toEqual(fallback)
        expect(kind.fromData(kind.toData(fallback))).toEqual(fallback)
        expect(question.refuses?.(fallback, world)).toBeUndefined()
      }
    })

    it('reads a good answer back from its written form, as text and as data', () => {
      const value = some(kind.fromText(example))
      expect(kind.toText(value)).toBe(example)
      expect(kind.fromData(kind.toData(value))).toEqual(value)
      expect(kind.fromData(JSON.parse(JSON.stringify(kind.toData(value))))).toEqual(value)
      expect(question.refuses?.(value, world)).toBeUndefined()
    })

    it('never takes a good answer with a control, bidi, separator or lone surrogate character anywhere in it', () => {
      const inFiles = typeof kind.toData(some(kind.fromText(example))) === 'string'
      const taken: string[] = []
      for (const char of DANGEROUS)
        for (let at = 0; at <= example.length; at++) {
          const bad = example.slice(0, at) + char + example.slice(at)
          const read = kind.fromText(bad)
          // A list may trim white space between its items, as long as none of it is kept.
          if (
            (read !== undefined && kind.toText(read) !== example) ||
            (inFiles && kind.fromData(bad) !== undefined)
          )
            taken.push(bad)
        }
      expect(taken).toEqual([])
    })

    it('never keeps a control character or a newline of any text it takes', () => {
      fc.assert(
        fc.property(fc.oneof(anyText(), fc.string({ maxLength: 8 })), typed => {
          const read = kind.fromText(typed)
          return read === undefined || !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(kind.toText(read))
        }),
        { numRuns: 200 },
      )
    })

    it('says what is allowed, in one line', () => {
      expect(kind.allowed).toMatch(/^[^\n]{3,}$/)
      expect(question.prompt).not.toBe('')
    })

    it('takes no data of another type', () => {
      const right = typeof kind.toData(some(kind.fromText(example)))
      for (const data of [
        null,
        {},
        Number.NaN,
        Number.POSITIVE_INFINITY,
        18.5,
        [1],
        [null],
        [[]],
        { toString: 'x' },
      ])
        expect(kind.fromData(data), JSON.stringify(data)).toBeUndefined()
      if (right !== 'string') expect(kind.fromData(example)).toBeUndefined()
      if (right !== 'number') expect(kind.fromData(4096)).toBeUndefined()
      if (right !== 'boolean') expect(kind.fromData(true)).toBeUndefined()
    })
  },
)

describe('whole numbers', () => {
  const kind = integer(1024, 65_535, '<port>')
  it.each(['1024', '65535', '18789'])('%s is one', value => expect(kind.fromText(value)).toBe(Number(value)))
  it.each([
    '',
    ' 18789',
    '1023',
    '65536',
    '-18789',
    '+18789',
    '18789.0',
    '1e4',
    '0x4965',
    '99999999999999999999',
    '١٨٧٨٩',
    'http',
    'NaN',
    'Infinity',
  ])('%j is none in range', value => expect(kind.fromText(value)).toBeUndefined())
})

describe('choices and switches', () => {
  const kind = choice('<x>', [
    { value: 'a', label: 'A' },
    { value: 'b', label: 'B' },
  ])
  it.each(['c', '', 'A', ' a', 'toString', '__proto__'])('a choice takes its own values, not %j', value => {
    expect(kind.fromText('a')).toBe('a')
    expect(kind.fromText(value)).toBeUndefined()
  })
  it.each([
    ['yes', true],
    ['YES', true],
    ['true', true],
    ['1', true],
    ['no', false],
    ['False', false],
    ['0', false],
  ] as const)('a switch reads %j as %j', (value, meaning) => expect(yesNo().fromText(value)).toBe(meaning))
  it.each(['', 'y', 'on', 'constructor', '__proto__', 'yes '])(
    'a switch does not guess what %j means',
    value => expect(yesNo().fromText(value)).toBeUndefined(),
  )
  it('a text is never longer than 2048 characters', () => {
    const any = text('x', '<x>', () => true)
    expect(any.fromText('x'.repeat(2048))).toHaveLength(2048)
    expect(any.fromText('x'.repeat(2049))).toBeUndefined()
  })
})

describe('a list', () => {
  const kind = list(provider, value => value.id)
  it('may be empty and allows white space around its commas', () => {
    expect(kind.fromText('')).toEqual([])
    expect(kind.fromText(' openai , anthropic ')).toEqual([{ id: 'openai' }, { id: 'anthropic' }])
  })
  it('is refused as a whole when one item is', () =>
    expect(kind.fromText('openai,nonsense!')).toBeUndefined())
  it('holds nothing twice, whatever else differs', () => {
    expect(kind.fromText('openai,openai')).toBeUndefined()
    expect(kind.fromData(['a=https://one.example', 'a=https://two.example'])).toBeUndefined()
  })
  it('is a list in a file, not a text', () => expect(kind.fromData('openai')).toBeUndefined())
})

describe('a model provider', () => {
  const good = [
    'openai',
    'anthropic',
    'mine=https://llm.example/v1',
    'mine=https://llm.example:8443/v1/a=b',
    'mine=https://203.0.113.7/v1',
    'mine=http://localhost:8080/v1',
    'mine=http://127.0.0.1:8080/v1',
    'mine=http://10.1.2.3/v1',
    'mine=http://172.16.0.1/v1',
    'mine=http://172.31.255.255/v1',
    'mine=http://192.168.1.1/v1',
    'mine=http://[::1]:8080/v1',
    'mine=http://[fd00::1]/v1',
    'mine=http://ollama:11434/v1',
    'mine=http://host.docker.internal:11434/v1',
    'mine=http://box.local/v1',
    'constructor=https://llm.example/v1',
  ]
  it.each(good)('%s is taken', value => expect(provider.toText(some(provider.fromText(value)))).toBe(value))

  const publicly = [
    'http://llm.example/v1',
    'http://203.0.113.7/v1',
    'http://172.15.0.1/v1',
    'http://172.32.0.1/v1',
    'http://192.169.1.1/v1',
    'http://11.0.0.1/v1',
    'http://134744072/v1',
    'http://0x08080808/v1',
    'http://[2001:db8::1]/v1',
    'http://[::ffff:8.8.8.8]/v1',
    'http://[::1234:5678]/v1',
    'http://[::100.64.1.1]/v1',
    'http://127.0.0.1.evil.example/v1',
    'http://10.evil.example/v1',
    'http://localhost.evil.example/v1',
    'http://internal.example.org/v1',
    'http://evil.example./v1',
  ]
  it.each(publicly)('%s would carry the key over the open network', url =>
    expect(provider.fromText(`mine=${url}`)).toBeUndefined(),
  )

  const refused = {
    'a user and a password': 'https://user:hunter2@llm.example/v1',
    'a user': 'https://user@llm.example/v1',
    'a password': 'https://:hunter2@llm.example/v1',
    'a query': 'https://llm.example/v1?key=hunter2',
    'a fragment': 'https://llm.example/v1#x',
    'another protocol': 'ftp://llm.example/v1',
    'a script': 'javascript:alert(1)',
    'a file': 'file:///etc/passwd',
    'a variable': 'https://llm.example/${HOME}',
    'a quote': 'https://llm.example/"x',
    braces: 'https://llm.example/{{x}}',
    'a backslash': 'https:\\\\llm.example\\v1',
    'a letter beyond ASCII': 'https://llm.exämple/v1',
    'a space': 'https://llm.example/a b',
    'a newline': 'https://llm.example/\nx',
    'a port that is none': 'https://llm.example:99999/v1',
    nothing: '',
  }
  for (const [what, url] of Object.entries(refused))
    it(`a URL with ${what} is refused`, () => expect(provider.fromText(`mine=${url}`)).toBeUndefined())

  it.each([
    '',
    'mistral',
    'OpenAI',
    'openai=https://evil.example/v1',
    'anthropic=https://evil.example/v1',
    'A=https://x.example',
    '1a=https://x.example',
    'a_b=https://x.example',
    `${'a'.repeat(33)}=https://x.example`,
    '=https://x.example',
    '__proto__=https://x.example',
  ])('%j names no provider', value => expect(provider.fromText(value)).toBeUndefined())
})

describe('names', () => {
  it.each(['a', 'a.b', 'xn--bcher-kva.example', 'A-1.example', `${'a'.repeat(63)}.b`])(
    '%s is a host name',
    value => expect(isHostName(value)).toBe(true),
  )
  it.each([
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    '-a',
    'a-',
    'a_b',
    'a b',
    'a;b',
    `${'a'.repeat(64)}.b`,
    `${'a.'.repeat(127)}`,
    'ä.example',
    '*.example',
  ])('%j is no host name', value => expect(isHostName(value)).toBe(false))
  it.each([
    'node',
    'node:24',
    'ghcr.io/openclaw/openclaw:2026.9.6',
    'localhost:5000/a/b__c--d',
    `a@sha256:${'0'.repeat(64)}`,
    `sha256:${'0'.repeat(64)}`,
  ])('%s is an image reference', value => expect(isImageReference(value)).toBe(true))
  it.each([
    '',
    '-v',
    '--privileged',
    'Node',
    'a b',
    'a:',
    'a@sha256:00',
    'a//b',
    '/a',
    'a/',
    'a:b:c',
    'a$b',
    'a;b',
    'a\n',
    'a\nRUN id',
    'https://a/b',
    '../a',
  ])('%j is no image reference', value => expect(isImageReference(value)).toBe(false))
})

describe('questions refuse well-formed answers that would not do', () => {
  const byId = (id: string) => some(questions.find(question => question.id === id))

  it('a closed border with a provider that lies behind it', () => {
    const providers = [{ id: 'local', url: 'http://ollama:11434/v1' }]
    expect(byId('egress').refuses?.('closed', { ...ANSWERS, providers })).toContain('IP address')
    expect(byId('egress').refuses?.('open', { ...ANSWERS, providers })).toBeUndefined()
  })

  it('a model of a provider nobody named', () => {
    expect(byId('model').refuses?.('anthropic/x', { ...ANSWERS, providers: [{ id: 'openai' }] })).toContain(
      'openai',
    )
    expect(byId('model').refuses?.('openai-x/x', { ...ANSWERS, providers: [{ id: 'openai' }] })).toBeDefined()
  })

  it('no model, when a provider of one’s own needs it named', () => {
    const world = { ...ANSWERS, providers: [{ id: 'mine', url: 'https://x.example' }] }
    expect(byId('model').refuses?.('', world)).toBeDefined()
    expect(byId('model').fallback(world, PLACE)).toBeUndefined()
    expect(byId('model').refuses?.('mine/m', world)).toBeUndefined()
  })

  it.each([
    '2026.8.30',
    '2026.9.0',
    '2025.12.1',
    '2026.13.1',
    '2026.00.1',
    'latest',
    '2026.9',
    '2026.9.6;id',
    '2026.9.6 ',
  ])('OpenClaw %j, which this tool was not made for', value =>
    expect(byId('version').kind.fromText(value)).toBeUndefined(),
  )
  it.each(['2026.9.1', '2026.9.6', '2026.10.1', '2027.1.1', '2026.9.6-beta.1'])(
    'but not OpenClaw %s',
    value => expect(byId('version').kind.fromText(value)).toBe(value),
  )

  it.each([
    'My Gateway!',
    '/srv/Über Gateway',
    '/',
    '/srv/123',
    '/srv/---',
    '/srv/a',
    `/srv/${'x'.repeat(99)}-`,
    '/srv/openclaw.prod',
    'C:\\gateways\\one',
  ])('the folder %j still gives a valid name', directory => {
    const { kind, fallback } = byId('name')
    const name = some(fallback({}, { ...PLACE, directory }))
    expect(kind.fromText(String(name))).toBe(name)
  })
})
