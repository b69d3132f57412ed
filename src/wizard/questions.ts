import type { Answers, Posture } from '../deployment/answers.ts'
import { isProgramName, USUAL_PROGRAMS } from '../gateway/sandbox.ts'
import { EGRESS_QUESTIONS } from './egress-questions.ts'
import {
  choice,
  integer,
  isHostName,
  isImageReference,
  isPlainPath,
  isTimeZone,
  list,
  provider,
  text,
  yesNo,
} from './kinds.ts'
import { LIMIT_QUESTIONS } from './limit-questions.ts'
import { always, define, never, type Question } from './question.ts'
import { STORE_QUESTIONS } from './store-questions.ts'

/** The OpenClaw release this version of the tool was tested with. */
export const OPENCLAW_VERSION = '2026.9.6'

const PLAIN_TEXT = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]*$/u
/** All questions, in the order they are asked. */
export const QUESTIONS = [
  define({
    id: 'name',
    flag: '--name',
    path: ['name'],
    group: 'Gateway',
    prompt: 'What is this gateway called?',
    help: 'name of the Compose project and of the container',
    kind: text('2 to 40 of a-z, 0-9 and -, starting with a letter and not ending with -', '<name>', value =>
      /^[a-z][a-z0-9-]{0,38}[a-z0-9]$/.test(value),
    ),
    fallback: (_, place) => projectName(place.directory),
  }),
  define({
    id: 'posture',
    flag: '--agent',
    path: ['agent', 'posture'],
    group: 'Agent',
    prompt: 'What may the agent do?',
    help: 'what the agent may do',
    kind: choice<Posture>('<posture>', [
      { value: 'chat', label: 'Chat', hint: 'no shell, no file tools' },
      { value: 'workspace', label: 'Workspace', hint: 'reads and writes files in its workspace, no shell' },
      { value: 'coding', label: 'Coding', hint: 'runs commands, in a sandbox of its own' },
    ]),
    fallback: () => 'chat',
  }),
  define({
    id: 'agentSandbox',
    flag: '--sandbox',
    path: ['agent', 'sandbox'],
    group: 'Agent',
    prompt: 'What makes the sandbox in which the agent’s commands run?',
    help: 'what makes the sandbox; docker hands the gateway the engine’s socket, which is root on this machine',
    kind: choice<Answers['agentSandbox']>('<backend>', [
      {
        value: 'ssh',
        label: 'This deployment',
        hint: 'a container of its own; nobody gets the engine’s socket',
      },
      {
        value: 'docker',
        label: 'OpenClaw, by the engine’s socket',
        hint: 'root on this machine for whoever takes the gateway over',
      },
    ]),
    fallback: () => 'ssh',
    when: answers => answers.posture === 'coding',
    needs: '--agent coding',
    advanced: always,
  }),
  define({
    id: 'agentPrograms',
    flag: '--agent-program',
    path: ['agent', 'programs'],
    group: 'Agent',
    prompt: 'Which programs may the agent start in its sandbox? (names, commas between)',
    help: 'program the agent may start, repeatable; replaces the whole list',
    kind: list(
      text('a name such as git, without a path or arguments', '<program>', isProgramName),
      name => name,
    ),
    fallback: answers => (answers.posture === 'coding' ? [...USUAL_PROGRAMS] : []),
    when: answers => answers.posture === 'coding',
    needs: '--agent coding',
    advanced: always,
  }),
  define({
    id: 'agentPackages',
    flag: '--agent-package',
    path: ['agent', 'packages'],
    group: 'Agent',
    prompt: 'Which Debian packages does the sandbox need besides? (commas between; empty for none)',
    help: 'Debian package the sandbox has besides the usual ones, repeatable',
    kind: list(text('the name of a Debian package such as golang', '<package>', isProgramName), name => name),
    fallback: () => [],
    when: answers => answers.posture === 'coding',
    needs: '--agent coding',
    advanced: always,
  }),
  define({
    id: 'providers',
    flag: '--provider',
    path: ['agent', 'providers'],
    group: 'Agent',
    prompt: 'Which model providers? (openai, anthropic, NAME=URL; commas between; empty for none yet)',
    help: 'model provider, repeatable; its key comes with --provider-key',
    kind: list(provider, value => value.id),
    fallback: () => [],
    // `openai=KEY` is an easy slip for `--provider-key`.
    hides: text =>
      text.replace(/\/\/[^/,\s"]*@/g, '//(not shown)@').replace(/=(?!https?:\/\/)[^,\]"]*/g, '=(not shown)'),
  }),
  define({
    id: 'model',
    flag: '--model',
    path: ['agent', 'model'],
    group: 'Agent',
    prompt: 'Which model should the agent use? (PROVIDER/MODEL; empty for the provider’s default)',
    help: 'primary model as PROVIDER/MODEL; needed with a NAME=URL provider',
    kind: text(
      'PROVIDER/MODEL, where PROVIDER is one of the providers, or empty',
      '<provider/model>',
      value => value === '' || /^[a-z][a-z0-9-]{0,31}\/[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$/.test(value),
    ),
    fallback: answers => ((answers.providers ?? []).some(p => p.url !== undefined) ? undefined : ''),
    when: answers => (answers.providers ?? []).length > 0,
    needs: 'a --provider',
    refuses: (value, answers) => {
      const providers = answers.providers ?? []
      const named = providers.find(p => value.startsWith(`${p.id}/`))
      const custom = providers.filter(p => p.url !== undefined)
      if (value !== '' && named === undefined)
        return `a model of ${providers.map(p => p.id).join(' or ') || 'a provider you named'}`
      if (custom.some(p => p !== named))
        return `a model of ${custom.map(p => p.id).join(' and ')}: one NAME=URL provider at most, and its model named here`
      return undefined
    },
  }),
  ...EGRESS_QUESTIONS,
  define({
    id: 'image',
    flag: '--image-from',
    path: ['image', 'from'],
    group: 'Image',
    prompt: 'Where does the OpenClaw image come from?',
    help: 'where the image comes from; --image and --build set it too',
    kind: choice<Answers['image']>('<source>', [
      { value: 'official', label: 'The official image', hint: 'ghcr.io/openclaw/openclaw, pinned by digest' },
      { value: 'reference', label: 'An image I name', hint: 'pinned to what the engine resolves' },
      { value: 'build', label: 'Build it here', hint: "npm's openclaw on a Node image you name" },
    ]),
    fallback: () => 'official',
  }),
  define({
    id: 'version',
    flag: '--openclaw-version',
    path: ['image', 'version'],
    group: 'Image',
    prompt: 'Which OpenClaw release?',
    help: 'OpenClaw release',
    kind: text(`a release such as ${OPENCLAW_VERSION}, 2026.9.1 or later`, '<version>', value => {
      const match = /^(\d{4})\.(\d{1,2})\.(\d{1,3})(-[A-Za-z0-9.-]{1,32})?$/.exec(value)
      const number = (Number(match?.[1]) * 100 + Number(match?.[2])) * 1000 + Number(match?.[3])
      return match !== null && number >= 202_609_001 && Number(match[2]) <= 12
    }),
    fallback: () => OPENCLAW_VERSION,
    when: answers => answers.image !== 'reference',
    needs: 'an image that is not named with --image',
    advanced: always,
  }),
  define({
    id: 'imageReference',
    flag: '--image',
    path: ['image', 'reference'],
    group: 'Image',
    prompt: 'Which image?',
    help: 'an OpenClaw image of your own, by name, tag or digest',
    kind: text(
      'an image reference such as registry.example/openclaw:2026.9.6',
      '<reference>',
      isImageReference,
    ),
    fallback: answers => (answers.image === 'reference' ? undefined : never()),
    when: answers => answers.image === 'reference',
    needs: '--image-from reference',
  }),
  define({
    id: 'baseImage',
    flag: '--base-image',
    path: ['image', 'base'],
    group: 'Image',
    prompt: 'On which Node image is it built?',
    help: 'base of --build: Debian with Node ≥ 24.16 and npm',
    kind: text('an image reference such as node:24-bookworm-slim', '<reference>', isImageReference),
    fallback: answers => (answers.image === 'build' ? 'node:24-bookworm-slim' : never()),
    when: answers => answers.image === 'build',
    needs: '--build',
  }),
  define({
    id: 'companionBase',
    flag: '--companion-base',
    path: ['image', 'companions'],
    group: 'Image',
    prompt: 'On which Debian image are the proxy and the other containers beside the gateway built?',
    help: 'Debian image that the containers beside the gateway are built on',
    kind: text('an image reference such as debian:bookworm-slim', '<reference>', isImageReference),
    fallback: answers => (answers.image === 'build' ? answers.baseImage : 'debian:bookworm-slim'),
    advanced: always,
  }),
  define({
    id: 'access',
    flag: '--access',
    path: ['access', 'mode'],
    group: 'Access',
    prompt: 'How will you reach it?',
    help: 'who reaches the gateway, and how',
    kind: choice<Answers['access']>('<mode>', [
      { value: 'loopback', label: 'From this machine only', hint: '127.0.0.1' },
      { value: 'ssh', label: 'From elsewhere through SSH', hint: 'still 127.0.0.1; you get the ssh -L line' },
      { value: 'proxy', label: 'Through nginx with TLS and a password', hint: 'you get the nginx site' },
    ]),
    fallback: () => 'loopback',
  }),
  define({
    id: 'port',
    flag: '--port',
    path: ['access', 'port'],
    group: 'Access',
    prompt: 'Which port on 127.0.0.1?',
    help: 'port on 127.0.0.1',
    kind: integer(1024, 65535, '<port>'),
    fallback: () => 18789,
  }),
  define({
    id: 'firewall',
    flag: '--firewall',
    path: ['access', 'firewall'],
    group: 'Access',
    prompt:
      'Install the firewall rule that keeps neighbours on the network out? (Docker before 28 lets them in)',
    help: 'install the rule that closes the port to network neighbours (Docker < 28)',
    kind: yesNo(),
    fallback: () => false,
    advanced: place => !place.exposedToNeighbours,
  }),
  define({
    id: 'sshTarget',
    flag: '--ssh-target',
    path: ['access', 'ssh', 'target'],
    group: 'Access',
    prompt: 'As whom do you log in here with ssh? (user@host or user@host:port)',
    help: 'how you reach this machine: user@host[:port]',
    kind: text('user@host or user@host:port', '<user@host>', value => {
      const match = /^[a-z_][a-z0-9_.-]{0,31}@([A-Za-z0-9.-]{1,253})(:(\d{1,5}))?$/.exec(value)
      return (
        match !== null &&
        isHostName(match[1] ?? '') &&
        Number(match[3] ?? 22) >= 1 &&
        Number(match[3] ?? 22) <= 65535
      )
    }),
    fallback: answers => (answers.access === 'ssh' ? undefined : never()),
    when: answers => answers.access === 'ssh',
    needs: '--access ssh',
  }),
  define({
    id: 'proxyHost',
    flag: '--proxy-host',
    path: ['access', 'proxy', 'host'],
    group: 'Access',
    prompt: 'Under which host name will people reach it?',
    help: 'public host name of the nginx site',
    kind: text(
      'a host name such as openclaw.example.org',
      '<host>',
      value => isHostName(value) && value.includes('.'),
    ),
    fallback: answers => (answers.access === 'proxy' ? undefined : never()),
    when: answers => answers.access === 'proxy',
    needs: '--access proxy',
  }),
  define({
    id: 'proxyCertificate',
    flag: '--proxy-certificate',
    path: ['access', 'proxy', 'certificate'],
    group: 'Access',
    prompt: 'Where is its TLS certificate (PEM, full chain)?',
    help: 'TLS certificate of the nginx site (PEM, full chain)',
    kind: text('an absolute path of letters, digits and . _ - /', '<path>', isPlainPath),
    fallback: answers =>
      answers.access === 'proxy' ? `/etc/letsencrypt/live/${answers.proxyHost ?? ''}/fullchain.pem` : never(),
    when: answers => answers.access === 'proxy',
    needs: '--access proxy',
  }),
  define({
    id: 'proxyKey',
    flag: '--proxy-key',
    path: ['access', 'proxy', 'key'],
    group: 'Access',
    prompt: 'Where is its TLS key (PEM)?',
    help: 'TLS key of the nginx site (PEM)',
    kind: text('an absolute path of letters, digits and . _ - /', '<path>', isPlainPath),
    fallback: answers =>
      answers.access === 'proxy' ? `/etc/letsencrypt/live/${answers.proxyHost ?? ''}/privkey.pem` : never(),
    when: answers => answers.access === 'proxy',
    needs: '--access proxy',
  }),
  ...STORE_QUESTIONS,
  ...LIMIT_QUESTIONS,
  define({
    id: 'timezone',
    flag: '--timezone',
    path: ['timezone'],
    group: 'Gateway',
    prompt: 'In which time zone does the agent live?',
    help: 'time zone of the agent (IANA name)',
    kind: text('a time zone name such as UTC or Europe/Berlin', '<zone>', isTimeZone),
    fallback: (_, place) => place.timezone,
    advanced: always,
  }),
  define({
    id: 'contact',
    flag: '--contact',
    path: ['incident', 'contact'],
    group: 'People',
    prompt: 'Who is called first when something is wrong? (name, phone, mail; goes into the runbook)',
    help: 'who is called first in an incident; goes into the runbook',
    kind: text(
      'up to 200 visible characters',
      '<text>',
      value => value.length <= 200 && PLAIN_TEXT.test(value),
    ),
    fallback: never,
  }),
] as const

/** The registry as the rest of the wizard walks it: each entry reads and writes its own answer. */
export const questions: readonly Question[] = QUESTIONS as unknown as readonly Question[]

/** A valid project name from a folder's: "My Gateway!" becomes "my-gateway". */
function projectName(directory: string): string {
  const base =
    directory
      .split(/[/\\]/)
      .filter(part => part !== '')
      .at(-1) ?? ''
  const slug = base
    .toLowerCase()
    .normalize('NFKD')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, 40)
    .replace(/-+$/, '')
  return slug.length >= 2 ? slug : 'openclaw'
}
