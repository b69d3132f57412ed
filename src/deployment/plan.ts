import { relative } from 'node:path'
import { SERVICE } from '../docker/compose.ts'
import { profileText } from '../docker/confinement.ts'
import { borderRecipe, dockerfile, type GatewayImage, imageLabel, sandboxRecipe } from '../gateway/image.ts'
import { type DeliveredSecret, gatewayPolicy } from '../gateway/policy.ts'
import { type Answers, hasSandbox, hasSocket, isApart, placeOf, type Sandboxing } from './answers.ts'
import { borderFiles } from './border.ts'
import { composition, type Profiles } from './composition.ts'
import type { Layout } from './layout.ts'
import type { Ownership } from './owner.ts'
import { RUNBOOKS, render, runbook, runbookSchemaText, verbatim } from './render.ts'

export interface PlannedFile {
  /** Relative to the deployment folder. */
  path: string
  mode: number
  /** `gateway`: owned by the user the container runs as. */
  owner: 'person' | 'gateway'
  content: string
  /** Made to be adapted: once edited, it is left alone. */
  adaptable?: true
}

export interface PlannedDirectory {
  path: string
  mode: number
  owner: 'person' | 'gateway'
}

/** Everything setup would do, before it does any of it. */
export interface Plan {
  directories: PlannedDirectory[]
  files: PlannedFile[]
  commands: string[]
}

export interface PlanInput {
  answers: Answers
  /** The text of `deployment.yaml`. */
  written: string
  layout: Layout
  image: GatewayImage
  /** The image of the two at the border. */
  border: GatewayImage
  /** The image in which a coding agent's commands run. */
  sandbox?: GatewayImage | undefined
  ownership: Ownership
  /** Whether the engine confines containers by SELinux, and mounts have to be labelled. */
  isLabelled?: boolean | undefined
  /** The group that may open the engine's socket. */
  socketGroup?: number | undefined
  secrets: readonly DeliveredSecret[]
}

/**
 * The complete plan: pure, no look at the disk. Whatever the answers hold, each file's parsed structure is the one
 * computed here. Errors: `render_mismatch`.
 */
export function makePlan(input: PlanInput): Plan {
  const { answers, layout, image, border, sandbox, ownership, secrets } = input
  const { user } = ownership
  const profiles = profilesOf(answers)
  const images = {
    gateway: image.pinned,
    border: border.pinned,
    sandbox: hasSandbox(answers) ? sandbox?.pinned : undefined,
  }
  const compose = composition(answers, images, user, profiles, input.isLabelled, input.socketGroup)
  const policy = gatewayPolicy(answers, secrets)
  const proxied = answers.access === 'proxy'
  const closed = answers.egress === 'closed'
  const sandboxed = hasSandbox(answers)
  const socket = hasSocket(answers)
  const person = (path: string, content: string): PlannedFile => ({
    path,
    mode: 0o644,
    owner: 'person',
    content,
  })
  const adaptable = (path: string, content: string): PlannedFile => ({
    ...person(path, content),
    adaptable: true,
  })

  return {
    directories: directoriesOf(layout, answers),
    files: [
      person('deployment.yaml', input.written),
      ...(answers.apparmor ? [person('apparmor-profile', profileText(answers.name))] : []),
      person('seccomp-profile.json', profiles.seccomp),
      ...(answers.image === 'build' ? [person('Dockerfile', dockerfile(answers))] : []),
      person(
        'docker-compose.yml',
        render(
          'docker-compose.yml.hbs',
          { ...compose, ...compose.services, gateway: compose.services[SERVICE], closed, sandboxed, socket },
          'yaml',
          compose,
        ),
      ),
      {
        path: 'config/openclaw.json',
        mode: 0o400,
        owner: 'gateway',
        content: render('openclaw.json.hbs', { ...policy, proxied, closed }, 'json', policy),
      },
      ...(socket && answers.seccomp === 'fitted'
        ? [
            {
              path: 'config/seccomp-profile.json',
              mode: 0o400,
              owner: 'gateway',
              content: profiles.seccomp,
            } as const,
          ]
        : []),
      ...Object.entries(borderFiles(answers)).map(
        ([name, content]): PlannedFile => ({
          path: `border/${name}`,
          mode: 0o400,
          owner: 'gateway',
          content,
        }),
      ),
      ...(proxied
        ? [
            person(
              'proxy/nginx.conf',
              render(
                'nginx.conf.hbs',
                {
                  name: answers.name,
                  host: answers.proxyHost,
                  certificate: answers.proxyCertificate,
                  key: answers.proxyKey,
                  port: answers.port,
                },
                'text',
              ),
            ),
          ]
        : []),
      adaptable(
        'README.md',
        render(
          'README.md.hbs',
          {
            name: answers.name,
            address: addressOf(answers),
            built: answers.image === 'build',
            proxied,
            tunnel: sshTunnel(answers) ?? '',
            place: isApart(answers) ? placeOf(answers) : '',
            reader: ownership.by === 'same' ? 'yourself' : 'root',
          },
          'text',
        ),
      ),
      adaptable(
        'runbooks/README.md',
        render(
          'runbooks.md.hbs',
          {
            contact:
              answers.contact === ''
                ? 'nobody is named yet: set it with --contact'
                : markdownText(answers.contact),
            place: markdownText(placeOf(answers)),
            name: answers.name,
            containers: servicesOf(compose)
              .map(service => `${answers.name}-${service}-1`)
              .join(' '),
            pid: '{{.State.Pid}}',
            networks: '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}',
          },
          'text',
        ),
      ),
      ...RUNBOOKS.map(id => adaptable(`runbooks/${id}.yaml`, runbook(id, answers.contact))),
      adaptable('runbooks/runbook.schema.json', runbookSchemaText()),
    ],
    commands: [
      answers.image === 'build'
        ? `docker build --tag ${imageLabel(answers)} -`
        : `docker pull ${imageLabel(answers)}   (unless the engine has it)`,
      `docker build --tag ${borderRecipe(answers).label} -   (unless the engine has it)`,
      ...(answers.posture === 'coding'
        ? [
            `docker build --tag ${sandboxRecipe(answers).label} -   (unless the engine has it)`,
            `docker build --tag create-openclaw-secure/openclaw-${answers.agentSandbox}:… -   (the image above, with a client of ${answers.agentSandbox})`,
          ]
        : []),
      `docker run --network none --read-only --cap-drop ALL … ${image.label} config validate --json`,
      `docker compose --project-name ${answers.name} up --detach`,
    ],
  }
}

/** What the containers load when they are made: a change of it makes them anew. */
export function profilesOf(answers: Answers): Profiles {
  // The hosts are read anew by the running proxy; whatever else changes makes a new one.
  const anyone = borderFiles({ ...answers, providers: [], egressHosts: [] })
  return {
    seccomp: verbatim('seccomp-profile.json'),
    haproxy: anyone['haproxy.cfg'],
    squid: anyone['squid.conf'] ?? '',
  }
}

/** The folders. What is mounted belongs to the gateway's user; everybody else on this machine is kept out of all of it. */
export function directoriesOf(
  layout: Layout,
  answers: Pick<Answers, 'access'> & Sandboxing,
): PlannedDirectory[] {
  const at = (path: string) => relative(layout.root, path)
  return [
    { path: '', mode: 0o700, owner: 'person' },
    { path: at(layout.own), mode: 0o700, owner: 'person' },
    { path: at(layout.base), mode: 0o700, owner: 'person' },
    { path: at(layout.store), mode: 0o700, owner: 'person' },
    { path: at(layout.cases), mode: 0o700, owner: 'person' },
    { path: at(layout.runbooks), mode: 0o755, owner: 'person' },
    ...(answers.access === 'proxy' ? [{ path: 'proxy', mode: 0o755, owner: 'person' } as const] : []),
    { path: at(layout.border), mode: 0o700, owner: 'gateway' },
    { path: at(layout.config), mode: 0o700, owner: 'gateway' },
    ...(hasSandbox(answers)
      ? [layout.sandbox, layout.sandboxWork].map(
          path => ({ path: at(path), mode: 0o700, owner: 'gateway' }) as const,
        )
      : []),
    { path: at(layout.secrets), mode: 0o700, owner: 'gateway' },
    { path: at(layout.state), mode: 0o700, owner: 'gateway' },
  ]
}

/** Every service, the gateway first: in an incident that one is frozen first. */
function servicesOf({ services }: { services: object }): string[] {
  return [SERVICE, ...Object.keys(services).filter(name => name !== SERVICE)]
}

/** Where a browser finds the gateway. Behind a proxy the port on 127.0.0.1 answers nobody but the proxy. */
export function addressOf(answers: Pick<Answers, 'access' | 'port' | 'proxyHost'>): string {
  return answers.access === 'proxy' ? `https://${answers.proxyHost}` : `http://127.0.0.1:${answers.port}`
}

/** The exact `ssh -L` line, or undefined when the person did not ask for a tunnel. */
export function sshTunnel(answers: Pick<Answers, 'access' | 'port' | 'sshTarget'>): string | undefined {
  if (answers.access !== 'ssh') return undefined
  const [target, port] = answers.sshTarget.split(':')
  return `ssh -N -L ${answers.port}:127.0.0.1:${answers.port} ${port === undefined ? '' : `-p ${port} `}${target}`
}

/** Text of a person in Markdown: shown, never read as markup. */
function markdownText(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+!|<>~&]/g, '\\$&')
}
