/** Generators of answers: valid ones, and texts that try to be more than an answer. */
import * as fc from 'fast-check'
import type { Answers, Provider } from '../../src/deployment/answers.ts'
import { OPENCLAW_VERSION, questions } from '../../src/wizard/questions.ts'
import { ANSWERS, some } from './support.ts'

/** Any code point, the dangerous ones more often than chance would have them. fast-check's own Unicode unit takes a second to build. */
const anyChar = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0x20, max: 0x7e }) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 0xff }) },
  { weight: 1, arbitrary: fc.integer({ min: 0x2000, max: 0x206f }) },
  { weight: 1, arbitrary: fc.integer({ min: 0xd800, max: 0xffff }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0x10ffff }) },
)

/** Any text at all, lone surrogates and controls included. */
export function anyText(maxLength = 20): fc.Arbitrary<string> {
  return fc.string({ unit: anyChar.map(code => String.fromCodePoint(code)), maxLength })
}

const zones = ['UTC', ...Intl.supportedValuesOf('timeZone')]
const host = fc.stringMatching(/^[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,5})?\.(example|internal)$/)
const publicHost = fc.stringMatching(/^[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,5})?\.example$/)
const reference = fc.stringMatching(
  /^([a-z]{1,8}\.example(:[1-9]\d{2})?\/)?[a-z0-9]{1,8}([._-][a-z0-9]{1,4})?(:[a-z0-9][a-z0-9.-]{0,8})?(@sha256:[0-9a-f]{64})?$/,
)
const path = fc.stringMatching(/^(\/[A-Za-z0-9_-]{1,8}(\.[a-z]{1,3})?){1,3}$/)
const custom: fc.Arbitrary<Provider> = fc.record({
  id: fc.stringMatching(/^[b-n][a-z0-9-]{0,20}$/),
  url: fc
    .tuple(publicHost, fc.stringMatching(/^(\/[a-z0-9=]{1,6}){0,3}$/))
    .map(([name, rest]) => `https://${name}${rest}`),
})
const modelName = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,20}$/)
const contactKind = some(
  questions.find(question => question.id === 'contact'),
  'contact question',
).kind

const choices = fc.record({
  name: fc.stringMatching(/^[a-z][a-z0-9-]{0,38}[a-z0-9]$/),
  posture: fc.constantFrom<Answers['posture']>('chat', 'workspace', 'coding'),
  agentSandbox: fc.constantFrom<Answers['agentSandbox']>('ssh', 'docker'),
  agentPrograms: fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9.+_-]{0,9}$/), {
    minLength: 1,
    maxLength: 4,
  }),
  agentPackages: fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9.+-]{0,9}$/), { maxLength: 2 }),
  known: fc.uniqueArray(fc.constantFrom('openai', 'anthropic')),
  custom: fc.option(custom, { nil: undefined }),
  modelName: fc.option(modelName, { nil: undefined }),
  image: fc.constantFrom<Answers['image']>('official', 'reference', 'build'),
  version: fc.stringMatching(/^202[7-9]\.([1-9]|1[0-2])\.\d{1,2}(-beta\.\d)?$/),
  imageReference: reference,
  baseImage: reference,
  companionBase: reference,
  egress: fc.constantFrom<Answers['egress']>('closed', 'open'),
  egressHosts: fc.uniqueArray(
    fc.tuple(fc.constantFrom('', '*.'), publicHost).map(parts => parts.join('')),
    { maxLength: 3 },
  ),
  egressResolver: fc.constantFrom('', '9.9.9.9'),
  seccomp: fc.constantFrom<Answers['seccomp']>('fitted', 'docker-default'),
  access: fc.constantFrom<Answers['access']>('loopback', 'ssh', 'proxy'),
  port: fc.integer({ min: 1024, max: 65_535 }),
  firewall: fc.boolean(),
  sshTarget: fc
    .tuple(fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/), host, fc.constantFrom('', ':22', ':65535'))
    .map(parts => {
      const [user, name, port] = parts
      return `${user}@${name}${port}`
    }),
  proxyHost: host,
  proxyCertificate: path,
  proxyKey: path,
  store: fc.constantFrom<Answers['store']>('docker', 'vault', '1password'),
  seal: fc.constantFrom<Answers['seal']>('none', 'host'),
  vaultAddress: fc.tuple(host, fc.constantFrom('', ':8200')).map(([name, port]) => `https://${name}${port}`),
  vaultCa: fc.oneof(fc.constant(''), path),
  apiPath: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,9}(\/[A-Za-z0-9]{1,5})?$/),
  vaultAuth: fc.constantFrom<Answers['vaultAuth']>('approle', 'token', 'jwt', 'kubernetes'),
  vaultRole: fc.stringMatching(/^[\w.-]{1,40}$/),
  onepasswordVault: fc.stringMatching(/^[a-z2-7]{26}$/),
  extraSecrets: fc.uniqueArray(fc.stringMatching(/^x[a-z0-9_]{0,20}$/), { maxLength: 3 }),
  memory: fc.integer({ min: 1536, max: 1_048_576 }),
  cpus: fc.integer({ min: 1, max: 1024 }),
  pids: fc.integer({ min: 128, max: 32_768 }),
  stateLimit: fc.integer({ min: 1024, max: 1_048_576 }),
  apparmor: fc.boolean(),
  timezone: fc.constantFrom(...zones),
  contact: anyText(40)
    .map(text => text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu, '#'))
    .filter(text => contactKind.fromText(text) !== undefined),
})

type Chosen = typeof choices extends fc.Arbitrary<infer T> ? T : never

/** Where the secrets live: of each kind what belongs to it, and nothing of the others. */
function storeOf(chosen: Chosen): Partial<Answers> {
  const { store, vaultAuth, apiPath } = chosen
  if (store === 'docker') return { store, seal: chosen.seal }
  if (store === '1password') return { store, onepasswordVault: chosen.onepasswordVault }
  return {
    ...{ store, vaultAuth, vaultAddress: chosen.vaultAddress, vaultCa: chosen.vaultCa },
    ...{ vaultNamespace: apiPath, vaultMount: apiPath, vaultPath: apiPath },
    ...(vaultAuth === 'token' ? {} : { vaultAuthMount: apiPath, vaultRole: chosen.vaultRole }),
    ...(vaultAuth === 'jwt' ? { credentialFile: '/run/jwt' } : {}),
  }
}

/** Any complete and consistent set of answers: what does not arise is at its fallback. */
export const anyAnswers: fc.Arbitrary<Answers> = choices.map(chosen => {
  const providers: Provider[] = [
    ...chosen.known.map(id => ({ id })),
    ...(chosen.custom === undefined ? [] : [chosen.custom]),
  ]
  const speaker = chosen.custom ?? providers[0]
  const model =
    speaker === undefined || (chosen.custom === undefined && chosen.modelName === undefined)
      ? ''
      : `${speaker.id}/${chosen.modelName ?? 'm'}`
  return {
    ...ANSWERS,
    name: chosen.name,
    posture: chosen.posture,
    agentSandbox: chosen.posture === 'coding' ? chosen.agentSandbox : 'ssh',
    agentPrograms: chosen.posture === 'coding' ? chosen.agentPrograms : [],
    agentPackages: chosen.posture === 'coding' ? chosen.agentPackages : [],
    providers,
    model,
    image: chosen.image,
    version: chosen.image === 'reference' ? OPENCLAW_VERSION : chosen.version,
    imageReference: chosen.image === 'reference' ? chosen.imageReference : '',
    baseImage: chosen.image === 'build' ? chosen.baseImage : '',
    companionBase: chosen.companionBase,
    egress: chosen.egress,
    egressHosts: chosen.egress === 'closed' ? chosen.egressHosts : [],
    egressResolver: chosen.egress === 'closed' ? chosen.egressResolver : '',
    seccomp: chosen.seccomp,
    access: chosen.access,
    port: chosen.port,
    firewall: chosen.firewall,
    sshTarget: chosen.access === 'ssh' ? chosen.sshTarget : '',
    proxyHost: chosen.access === 'proxy' ? chosen.proxyHost : '',
    proxyCertificate: chosen.access === 'proxy' ? chosen.proxyCertificate : '',
    proxyKey: chosen.access === 'proxy' ? chosen.proxyKey : '',
    ...storeOf(chosen),
    extraSecrets: chosen.extraSecrets,
    memory: chosen.memory,
    cpus: chosen.cpus,
    pids: chosen.pids,
    stateLimit: chosen.stateLimit,
    apparmor: chosen.apparmor,
    timezone: chosen.timezone,
    contact: chosen.contact,
  }
})

/** Text that means something to YAML, JSON, Handlebars, Compose, a shell, nginx, a terminal or a path. */
const METAL = [
  '"',
  "'",
  '`',
  '\\',
  '\\"',
  '"]}',
  '"}}',
  '{{x}}',
  '{{{x}}}',
  '{{#each this}}',
  '{{/if}}',
  '{{> partial}}',
  '}}',
  '${HOME}',
  '${VAR:-x}',
  '$$',
  '$',
  '$(id)',
  '`id`',
  '; rm -rf /',
  '| sh',
  '&& id',
  '\n',
  '\r\n',
  '\r',
  '\t',
  '\0',
  '\u0085',
  '\u2028',
  '\u2029',
  '\u202e',
  '\u2066',
  '\ufeff',
  '\u200b',
  '\u001b[2K',
  '\u001b]8;;x\u0007',
  '\u007f',
  '\u009b',
  '\ufffe',
  '\uffff',
  '\ud800',
  '\udc00',
  '\n  privileged: true',
  '\n    privileged: true\n    #',
  '"\n    privileged: true\n    x: "',
  '\n---\n',
  '...\n',
  '%YAML 1.1\n',
  '&a',
  '*a',
  '<<: *a',
  '!!js/function x',
  '!!binary x',
  '? ',
  ': ',
  ' #',
  '#',
  '- ',
  '|-',
  '>+',
  '[',
  ']',
  '{',
  '}',
  ',',
  '@',
  '%',
  '// x',
  '/* */',
  '\n// x',
  '\n"gateway": {"bind": "all"},',
  '__proto__',
  'constructor',
  'null',
  'true',
  'no',
  '~',
  '0x10',
  '1e3',
  '.inf',
  '=',
  '../',
  '/etc/passwd',
  '/../..',
  ' ',
  '\u00a0',
  '😀',
  'é',
  'ﬀ',
  'İ',
  ';',
  'server {',
  '}\nserver {',
  '--privileged',
  '-v /:/host',
  '@sha256:',
  ':latest',
] as const

/** A hostile text: pieces with a meaning somewhere, mixed with anything, now and then very long. */
export const hostile: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 120,
    arbitrary: fc
      .array(fc.oneof(fc.constantFrom(...METAL), anyText(6)), { minLength: 1, maxLength: 6 })
      .map(parts => parts.join('')),
  },
  {
    weight: 40,
    arbitrary: fc
      .tuple(
        fc.constantFrom(
          'gw',
          'openai/m',
          'node:24',
          'UTC',
          'a@b',
          'x.example',
          '/a/b',
          'openai',
          'n=https://x/v1',
        ),
        fc.constantFrom(...METAL),
      )
      .map(pair => pair.join('')),
  },
  { weight: 20, arbitrary: fc.constantFrom(...METAL) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(...METAL), fc.integer({ min: 500, max: 3000 }))
      .map(([piece, times]) => piece.repeat(times)),
  },
)
