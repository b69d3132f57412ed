/**
 * OpenClaw's own docker backend, for whoever insists on it: an agent can work in the container that OpenClaw makes by the engine's
 * socket, and that one is confined. That the gateway is not any more, setup and verify say, until somebody writes down why.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ENGINE_SOCKET } from '../../src/gateway/sandbox.ts'
import { cli, containerOf, freshFolder, isThorough, type Ran, remove, sh, tokenOf } from './harness.ts'
import { type ScriptedModel, startScriptedModel, type ToolCall } from './scripted-model.ts'
import {
  exec,
  MACHINE,
  MODEL_KEY,
  openOutside,
  python,
  REACH,
  read,
  SEARCH,
  setUpCoding,
  turnIn,
  write,
} from './turns.ts'

/** What fails because of the socket, and because of nothing else. */
const BECAUSE_OF_THE_SOCKET = [
  'compose.host',
  'compose.mounts',
  'files.denied',
  'files.scoped',
  'host.closed',
]

const folder = freshFolder('docker-backend')
let model: ScriptedModel
let made: Ran
let gateway = ''

beforeAll(async () => {
  if (!isThorough) return
  model = await startScriptedModel()
  made = await setUpCoding(folder, model, ['--sandbox', 'docker'])
  gateway = await containerOf(folder)
  expect(gateway, made.stderr).not.toBe('')
}, 900_000)
afterAll(async () => {
  if (!isThorough) return
  model.close()
  for (const id of await agentContainers()) await sh('docker', ['rm', '--force', '--volumes', id])
  await remove(folder)
})

const turn = (calls: readonly ToolCall[]) => turnIn(gateway, model, calls)

/** The containers that OpenClaw has made for this deployment: their names say little, so it is told by what is mounted. */
async function agentContainers(): Promise<string[]> {
  const made = await sh('docker', [
    'ps',
    '--all',
    '--quiet',
    '--no-trunc',
    '--filter',
    'label=openclaw.sandbox=1',
  ])
  const ids = made.stdout.split('\n').filter(line => line !== '')
  const mounts = await Promise.all(
    ids.map(id => sh('docker', ['inspect', '--format', '{{json .Mounts}}', id])),
  )
  return ids.filter((_, index) => mounts[index]?.stdout.includes(`"${folder}/`))
}

function failedIn({ stderr }: Ran): string[] {
  return [...stderr.matchAll(/^\s+(?:fail|unknown) ([\w.-]+):/gm)].map(match => match[1] ?? '').sort()
}

function lastLine(answer: string | undefined): unknown {
  return JSON.parse(answer?.trim().split('\n').at(-1) ?? '')
}

describe.runIf(isThorough)(
  'threat: privilege escalation: a deployment whose gateway has the engine’s socket',
  () => {
    it('is set up, and fails for the socket and nothing else, and says what that means', async () => {
      const proven = await cli([folder, '--yes'], { timeout: 600_000 })
      expect(proven.code, proven.stderr).toBe(1)
      expect(failedIn(proven)).toEqual(
        [...BECAUSE_OF_THE_SOCKET, 'backup.restored', 'incident.drilled', 'monitor.configured'].sort(),
      )
      // Already before anything was written.
      expect(made.stderr).toMatch(/note +sandbox: .*root on this machine/)
      expect(proven.stderr).toContain('root on this')
    })

    it('really is what they say: the gateway’s user can ask the engine for anything', async () => {
      const { code, stdout } = await sh('docker', ['exec', gateway, 'docker', 'ps', '--format', '{{.ID}}'])
      expect(code).toBe(0)
      expect(stdout.split('\n')).toContain(gateway.slice(0, 12))
    })

    it('has no sandbox of its own, no key for one and no container that sees the socket but the gateway', async () => {
      expect(await containerOf(folder, 'sandbox')).toBe('')
      const { stdout } = await sh('docker', ['exec', gateway, 'ls', '/run/secrets'])
      expect(stdout).not.toContain('sandbox_')
      for (const service of ['ingress', 'egress']) {
        const seen = await sh('docker', [
          'inspect',
          '--format',
          '{{json .Mounts}}',
          await containerOf(folder, service),
        ])
        expect(seen.stdout).not.toContain('docker.sock')
      }
    })
  },
)

describe.runIf(isThorough)('an agent at work', () => {
  it('runs commands, and edits files, in a container that OpenClaw makes for the session', async () => {
    const [who, , ran, text] = await turn([
      exec('id -u; pwd; uname -n'),
      write('sums.py', 'print(2 + 3)\n'),
      exec('python3 sums.py'),
      read('sums.py'),
    ])
    const [uid, work, host] = (who ?? '').split('\n').map(line => line.trim())
    expect(work, who).toBe('/workspace')
    expect(Number(uid)).toBeGreaterThan(0)
    expect(ran).toContain('5')
    expect(text).toContain('print(2 + 3)')
    expect((await agentContainers()).map(id => id.slice(0, 12))).toContain(host)
  })

  it('is confined there as in the sandbox of our own', async () => {
    const [id] = await agentContainers()
    const { stdout } = await sh('docker', ['inspect', '--format', '{{json .}}', id ?? ''])
    const { HostConfig, Mounts } = JSON.parse(stdout)
    expect(HostConfig).toMatchObject({
      ...{ ReadonlyRootfs: true, NetworkMode: 'none', CapDrop: ['ALL'], Privileged: false },
      ...{ PidsLimit: 256, Memory: 1024 ** 3, MemorySwap: 2 * 1024 ** 3, NanoCpus: 1e9 },
    })
    expect(HostConfig.SecurityOpt).toContain('no-new-privileges')
    const own = readFileSync(resolve(folder, 'seccomp-profile.json'), 'utf8')
    const seccomp = HostConfig.SecurityOpt.find((option: string) => option.startsWith('seccomp='))
    expect(JSON.parse(seccomp.replace(/^seccomp=/, ''))).toEqual(JSON.parse(own))
    const state = resolve(folder, 'state/sandboxes')
    const mounts = (Mounts as { Type: string; Source: string; RW: boolean }[]).filter(
      ({ Type }) => Type === 'bind',
    )
    expect(mounts.filter(({ Source }) => !Source.startsWith(`${state}/`))).toEqual([])
    // One folder to work in; what else there is cannot be changed.
    expect(mounts.filter(({ RW }) => RW).length).toBe(1)
  })

  it('threat: credential leakage, network exfiltration: finds no secret and no way out', async () => {
    const secrets = [tokenOf(folder), MODEL_KEY]
    const outside = await openOutside()
    const targets: Record<string, [string, number]> = {
      gateway: ['openclaw-gateway', 18789],
      machine: [MACHINE, model.port],
      ...outside.targets,
    }
    const [search, reach, socket] = await turn([
      python(SEARCH(secrets)),
      python(REACH(targets, outside.udp)),
      exec(`test -e ${ENGINE_SOCKET} && echo there || echo away`),
    ])
    await outside.close()
    const { files, found } = lastLine(search) as { files: number; found: boolean[] }
    expect(files).toBeGreaterThan(100)
    expect(found).toEqual([false, false])
    const reached = lastLine(reach) as Record<string, string>
    expect(Object.keys(reached).sort()).toEqual(['UDP', ...Object.keys(targets)].sort())
    expect(Object.values(reached)).not.toContain('open')
    expect(socket).toContain('away')
  })
})

describe.runIf(isThorough)('who takes the deployment down', () => {
  it('has OpenClaw remove the containers first: Compose does not know them', async () => {
    expect((await agentContainers()).length).toBeGreaterThan(0)
    const words = ['node', 'openclaw.mjs', 'sandbox', 'recreate', '--all', '--force']
    const { code, stderr } = await sh('docker', ['exec', gateway, ...words])
    expect(code, stderr).toBe(0)
    expect(await agentContainers()).toEqual([])
  })
})

describe.runIf(isThorough)('somebody who accepts it', () => {
  it('has to say why for each of the checks, and until when; then all that setup sets up is accounted for', async () => {
    const path = resolve(folder, 'deployment.yaml')
    const reason = 'a test of the docker backend, on a machine of its own'
    const until = new Date(Date.now() + 30 * 86_400_000).toISOString().slice(0, 10)
    const accepted = BECAUSE_OF_THE_SOCKET.map(
      check => `  - check: "${check}"\n    reason: "${reason}"\n    until: "${until}"\n`,
    ).join('')
    writeFileSync(path, `${readFileSync(path, 'utf8')}\nsuppress:\n${accepted}`)
    const again = await cli([folder, '--yes'], { timeout: 600_000 })
    expect(again.code, again.stderr).toBe(0)
    const { code, stdout } = await cli(['verify', '--dir', folder, '--json'], { timeout: 600_000 })
    expect(code).toBe(1)
    const { findings } = JSON.parse(stdout) as {
      findings: { check: string; verdict: string; suppressed?: unknown }[]
    }
    const silenced = findings.filter(({ suppressed }) => suppressed !== undefined)
    expect(silenced.map(({ check, verdict }) => `${check} ${verdict}`).sort()).toEqual(
      BECAUSE_OF_THE_SOCKET.map(check => `${check} skip`),
    )
  })
})
