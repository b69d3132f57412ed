/** An engine with containers and networks, as far as containment goes; it can be told to fail, and to be slow. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Docker } from '../../src/docker/engine.ts'
import type { Finished, ProcessRunner } from '../../src/docker/process.ts'

export interface FakeContainer {
  id: string
  service: string
  state: 'running' | 'paused' | 'exited'
  /** Addresses by network. `given`: asked for. */
  networks: Record<string, { address: string; given?: boolean; aliases?: string[] }>
}

/** A deployment called "my-gateway". */
export class FakeEngine {
  containers: FakeContainer[]
  /** Every command it got, without those that only look. */
  readonly commands: string[] = []
  canPause = true
  canCut = true
  /** How long reading a container's tables takes, by service. Milliseconds. */
  readonly slow = new Map<string, number>()

  constructor(containers: FakeContainer[]) {
    this.containers = containers
  }

  readonly run: ProcessRunner = async (_file, args, options) => {
    options.signal?.throwIfAborted()
    const [command = '', ...rest] = args
    if (command === 'ps') return this.#list(rest)
    if (command === 'container') return done(JSON.stringify(this.containers.map(inspected)))
    if (command === 'run') return this.#tables(rest, options)
    this.commands.push(args.join(' '))
    if (command === 'pause') return this.#pause(rest)
    if (command === 'network') return this.#network(rest)
    if (command === 'rm') this.containers = this.containers.filter(({ id }) => !rest.includes(id))
    return done('')
  }

  get docker(): Docker {
    return new Docker(this.run)
  }

  #list(args: readonly string[]): Finished {
    if (!args.some(arg => arg.startsWith('label='))) return done('')
    return done(
      this.containers
        .map(({ id, state, service }) =>
          JSON.stringify([id, state, 'my-gateway', service, `my-gateway-${service}-1`]),
        )
        .join('\n'),
    )
  }

  #pause(ids: readonly string[]): Finished {
    if (!this.canPause) return { code: 1, stdout: '', stderr: 'cannot freeze: no freezer' }
    for (const one of this.containers) if (ids.includes(one.id)) one.state = 'paused'
    return done('')
  }

  #network([verb, ...args]: readonly string[]): Finished {
    const [network = '', id = ''] = args.slice(-2)
    const container = this.containers.find(one => one.id === id)
    if (container === undefined) return { code: 1, stdout: '', stderr: 'no such container' }
    if (verb === 'disconnect' && this.canCut) delete container.networks[network]
    if (verb === 'connect') {
      const aliases = args.filter((_, index) => args[index - 1] === '--alias')
      const at = args.indexOf('--ip')
      const address = at < 0 ? 'chosen' : (args[at + 1] ?? '')
      container.networks[network] = { address, given: at >= 0, aliases }
    }
    return done('')
  }

  async #tables(args: readonly string[], { into, signal }: Parameters<ProcessRunner>[2]): Promise<Finished> {
    const id = args[args.indexOf('--pid') + 1]?.replace('container:', '')
    const service = this.containers.find(one => one.id === id)?.service ?? ''
    await sleep(this.slow.get(service) ?? 0, undefined, signal === undefined ? {} : { signal })
    into?.write(Buffer.from(`tables of ${service}\n`))
    return done('')
  }
}

function inspected({ id, networks }: FakeContainer) {
  const endpoint = ({ address, given, aliases }: FakeContainer['networks'][string]) => ({
    Aliases: [...(aliases ?? []), id.slice(0, 12)],
    IPAddress: address,
    IPAMConfig: given === true ? { IPv4Address: address } : null,
  })
  return {
    Id: id,
    Image: 'sha256:clean',
    NetworkSettings: {
      Networks: Object.fromEntries(Object.entries(networks).map(([name, one]) => [name, endpoint(one)])),
    },
  }
}

function done(stdout: string): Finished {
  return { code: 0, stdout, stderr: '' }
}

/** The gateway, the way in and the way out, as a deployment has them. */
export function ordinary(): FakeContainer[] {
  return [
    {
      ...{ id: 'e'.repeat(64), service: 'egress', state: 'running' },
      networks: { inside: { address: '10.0.0.8' }, outside: { address: '172.18.0.2' } },
    },
    {
      ...{ id: 'f'.repeat(64), service: 'ingress', state: 'running' },
      networks: {
        inside: { address: '10.0.0.2', given: true, aliases: ['ingress'] },
        front: { address: '172.19.0.2', aliases: ['ingress', 'ingress-front'] },
      },
    },
    {
      ...{ id: 'a'.repeat(64), service: 'openclaw-gateway', state: 'running' },
      networks: { inside: { address: '10.0.0.9', aliases: ['openclaw-gateway'] } },
    },
  ]
}
