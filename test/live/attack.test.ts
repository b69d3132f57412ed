/**
 * The six threats, attacked: every attack in a hardened deployment, and a handful that must get through where nothing is hardened.
 * `npm run attack` compares all of them everywhere.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { THREATS } from '../../src/procedure/step.ts'
import { type Attack, isTool, type Result } from '../../steps/attack/attack.ts'
import { attacks } from '../../steps/attack/index.ts'
import { ours, type Stage, setStage, type Target, theirs } from './attack-targets.ts'
import { isThorough, sh } from './harness.ts'
import { turnIn } from './turns.ts'

let stage: Stage
const targets: Target[] = []
/** By the target's name. */
const results = new Map<string, Result[]>()

/** One of each threat that needs no more than a careless line, and a second one. */
const CARELESS = [
  'attack.credentials.environ',
  'attack.credentials.debugger',
  'attack.filesystem.autostart',
  'attack.filesystem.drop-and-run',
  'attack.filesystem.tool-read',
  'attack.network.direct',
  'attack.network.dns-outside',
  'attack.commands.plain',
  'attack.commands.encoded',
  'attack.resources.fork-bomb',
  'attack.resources.disk-tmp',
  'attack.privileges.user-namespace',
  'attack.privileges.ptrace',
]

beforeAll(async () => {
  stage = await setStage()
  const foreign = theirs('docker-run', stage).then(async target => {
    targets.push(target)
    results.set('docker run', await target.attack(attacks.filter(attack => CARELESS.includes(attack.id))))
  })
  // Side by side: most of the time goes into starting, and into turns of the agents.
  await Promise.all(
    ['chat', 'coding'].map(async posture => {
      const made = await ours(posture, stage)
      targets.push(...made)
      // The gateway of a coding deployment is the one of a chat deployment.
      for (const target of made)
        if (isThorough || !LEFT_OUT.includes(target.name))
          results.set(target.name, await target.attack(attacks.filter(attack => isMade(attack))))
    }),
  )
  await foreign
}, 600_000)

afterAll(async () => {
  for (const target of targets) await target.remove()
  await stage?.close()
})

/** Who stands behind another one: a coding agent can do more than one that chats, and both gateways are alike. */
const LEFT_OUT = ['coding, in a gateway that was taken over', 'chat, by its agent']

/** With everything else, six of each threat that are alike: `npm run attack` makes them all, and docs/threats.md has them. */
function isMade(attack: Attack): boolean {
  if (isThorough || attack.residual !== undefined) return true
  const alike = attacks.filter(other => other.threat === attack.threat && isTool(other) === isTool(attack))
  return isTool(attack) || alike.indexOf(attack) < 6
}

/** What has not been stopped, with what was seen. What a gateway that was taken over can always do is not asked. */
function notStopped(target: string, threat: string): string[] {
  const seen = results.get(target)?.filter(({ attack }) => attack.threat === threat)
  expect(seen?.length ?? 0, `attacks made in: ${target}`).toBeGreaterThan(3)
  return (seen ?? [])
    .filter(({ attack, outcome }) => attack.residual === undefined && outcome !== 'stopped')
    .map(({ attack, outcome, seen: what }) => `${outcome}: ${attack.id}: ${what}`)
}

describe.each(THREATS)('threat: %s', threat => {
  it.runIf(isThorough)('is stopped when the agent of a chat deployment was talked into it', () => {
    expect(notStopped('chat, by its agent', threat)).toEqual([])
  })

  it('is stopped when the gateway of a chat deployment was taken over', () => {
    expect(notStopped('chat, in a gateway that was taken over', threat)).toEqual([])
  })

  it('is stopped when the agent of a coding deployment was talked into it', () => {
    expect(notStopped('coding, by its agent', threat)).toEqual([])
  })

  it('is real: an ordinary docker run does not stop it', () => {
    const seen = results.get('docker run')?.filter(({ attack }) => attack.threat === threat) ?? []
    expect(seen.length).toBeGreaterThanOrEqual(2)
    expect(seen.map(({ attack, outcome }) => `${attack.id} ${outcome}`)).toEqual(
      seen.map(({ attack }) => `${attack.id} through`),
    )
  })
})

describe('what a gateway that was taken over can do', () => {
  it('is what docs/threats.md says, and no surprise', () => {
    const seen = results.get('chat, in a gateway that was taken over') ?? []
    const residual = seen.filter(({ attack }) => attack.residual !== undefined)
    expect(residual.map(({ outcome }) => outcome)).toEqual(residual.map(() => 'through'))
    expect(residual.length).toBeGreaterThan(2)
  })
})

describe('threat: credential leakage: two people who write to one agent', () => {
  it('each have a session of their own, and neither reads the other’s', async () => {
    const gateway = targets.find(target => target.name === 'chat, by its agent')?.container ?? ''
    const [theirs, own] = ['bob', 'alice'].map(peer => `agent:main:telegram:direct:${peer}`)
    // Tools that are seldom called are not offered by name: OpenClaw, "Tool Search".
    const call = (id: string, args: object) => ({ tool: 'tool_call', arguments: { id, args } })
    await turnIn(gateway, stage.model, [], theirs)
    const [history = '', ownHistory = '', list = '', search = ''] = await turnIn(
      gateway,
      stage.model,
      [
        call('sessions_history', { sessionKey: theirs }),
        call('sessions_history', { sessionKey: own }),
        call('sessions_list', {}),
        call('sessions_search', { query: 'play' }),
      ],
      own,
    )
    expect(history).toContain('visibility is restricted to the current session')
    expect(ownHistory).toMatch(/play turn-\d/)
    for (const found of [list, search]) expect(found).toContain('direct:alice')
    expect(list + search).not.toContain('direct:bob')
  })
})

describe('a sandbox that does not work', () => {
  it.runIf(isThorough)(
    'has stopped nothing: what could not be tried is unknown',
    async () => {
      const coding = targets.find(target => target.name === 'coding, by its agent')
      await sh('docker', ['stop', '--time', '1', `t-attack-coding-${process.pid}-sandbox-1`])
      const made = attacks.filter(({ id }) =>
        /^attack\.(commands\.(plain|etc)|filesystem\.tool-read)$/.test(id),
      )
      const after = await coding?.attack(made)
      expect(after?.map(({ attack, outcome }) => `${attack.id} ${outcome}`)).toEqual(
        made.map(({ id }) => `${id} unknown`),
      )
    },
    300_000,
  )
})
