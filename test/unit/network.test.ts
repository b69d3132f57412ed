import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addressesOf } from '../../src/deployment/network.ts'
import { NeighbourRule, publishesToNeighbours } from '../../src/docker/firewall.ts'
import type { Finished } from '../../src/docker/process.ts'
import { thrown } from './support.ts'

describe('the network of a deployment', () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,38}[a-z0-9]$/)

  it('has a bridge whose name Linux takes, and two subnets side by side, with room in them', () => {
    fc.assert(
      fc.property(name, of => {
        const { bridge, front, inside } = addressesOf(of)
        // IFNAMSIZ is 16, with the NUL.
        expect(bridge).toMatch(/^ocf-[0-9a-f]{8}$/)
        const [a, b, c, d] = (front.subnet.split('/')[0] ?? '').split('.').map(Number)
        expect([a, front.subnet.endsWith('/29'), Number(d) % 32]).toEqual([10, true, 0])
        expect(b).toBeGreaterThanOrEqual(200)
        expect(b).toBeLessThanOrEqual(249)
        expect(Number(c) <= 255 && Number(d) <= 224).toBe(true)
        expect(front.gateway).toBe(`10.${b}.${c}.${Number(d) + 1}`)
        expect(inside).toEqual({
          subnet: `10.${b}.${c}.${Number(d) + 16}/28`,
          range: `10.${b}.${c}.${Number(d) + 24}/29`,
          gateway: `10.${b}.${c}.${Number(d) + 17}`,
          ingress: `10.${b}.${c}.${Number(d) + 18}`,
        })
      }),
    )
  })

  it('follows from the name alone, and differs between names', () => {
    expect(addressesOf('my-gateway')).toEqual(addressesOf('my-gateway'))
    const names = Array.from({ length: 200 }, (_, index) => `gateway-${index}`)
    expect(new Set(names.map(of => addressesOf(of).bridge)).size).toBe(200)
  })
})

describe('an engine that lets neighbours in', () => {
  const engine = (ServerVersion: string) => ({
    ServerVersion,
    SecurityOptions: [],
    OperatingSystem: 'Debian 12',
  })
  it.each(['20.10.24+dfsg1', '26.1.5', '27.5.1', 'unknown', ''])(
    'is %j, or one that cannot be told',
    version => expect(publishesToNeighbours(engine(version))).toBe(true),
  )
  it.each(['28.0.0', '28.0.1', '29.1.0-rc.1', '28.3.2+dfsg1'])('is not %s', version =>
    expect(publishesToNeighbours(engine(version))).toBe(false),
  )
})

describe('an old engine whose bridge no neighbour has a route to', () => {
  it('is a rootless one, or one in the virtual machine of Docker Desktop', () => {
    const old = { ServerVersion: '26.1.5', OperatingSystem: 'Debian 12' }
    expect(publishesToNeighbours({ ...old, SecurityOptions: ['name=seccomp', 'name=rootless'] })).toBe(false)
    expect(publishesToNeighbours({ ...old, SecurityOptions: [], OperatingSystem: 'Docker Desktop' })).toBe(
      false,
    )
  })
})

describe('the firewall rule', () => {
  /** What iptables is told to do: -C to look, -I to put in, -D to take out. */
  const actionOf = (args: readonly string[]) => args.find(arg => /^-[ACDI]$/.test(arg)) ?? ''

  /** iptables that answers each of its actions as told, and what it was called with. */
  function rule(answers: Record<string, Partial<Finished>>) {
    const called: string[][] = []
    const made = new NeighbourRule(async (file, args) => {
      called.push([file, ...args])
      return { code: 0, stdout: '', stderr: '', ...answers[actionOf(args)] }
    }, 'ocs-0123abcd')
    return { called, made }
  }

  it('is looked for before it is put in, and put in once', async () => {
    const there = rule({})
    await there.made.install()
    expect(there.called.map(actionOf)).toEqual(['-C'])
    const missing = rule({
      '-C': { code: 1, stderr: 'Bad rule (does a matching rule exist in that chain?).' },
    })
    await missing.made.install()
    expect(missing.called.map(actionOf)).toEqual(['-C', '-I'])
  })

  it('drops new connections into the bridge from anywhere but the bridge and this machine', () => {
    expect(rule({}).made.toString()).toBe(
      'iptables -t mangle -I FORWARD -o ocs-0123abcd ! -i ocs-0123abcd -m conntrack --ctstate NEW -j DROP',
    )
  })

  it('is unknown, not missing, to a user who may not look', async () => {
    const { made } = rule({ '-C': { code: 4, stderr: 'iptables: Permission denied (you must be root)' } })
    expect(await thrown(() => made.isInstalled())).toMatchObject({ code: 'firewall_unknown' })
  })

  it('that cannot be put in is an error that shows it as one types it', async () => {
    const { made } = rule({
      '-C': { code: 1 },
      '-I': { code: 3, stderr: 'No chain/target/match by that name.' },
    })
    expect(await thrown(() => made.install())).toMatchObject({
      code: 'firewall_failed',
      hint: expect.stringContaining(made.toString()),
    })
  })

  it('is there again after a reboot, the same one, before Docker starts a container', () => {
    const unit = rule({}).made.systemdUnit('my-gateway')
    expect(unit).toContain(
      '-t mangle -C FORWARD -o ocs-0123abcd ! -i ocs-0123abcd -m conntrack --ctstate NEW -j DROP',
    )
    expect(unit).toMatch(/^Before=docker\.service$/m)
    expect(unit).toMatch(/^WantedBy=.*\bdocker\.service$/m)
  })
})
