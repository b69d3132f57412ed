/** What leaked lets somebody in until it is proven dead (credential leakage): a case that leaves it so does not end as done. */
import { describe, expect, it } from 'vitest'
import { endOf } from '../../src/commands/incident.ts'
import { Exit } from '../../src/errors.ts'
import { leftIn } from '../../steps/incident/left.ts'
import { World } from './evidence-world.ts'

type Facts = Record<string, string | number | boolean>

const green = { unseen: [], checks: { failed: [], unknown: [] } }
const named: [string, Facts] = ['leak', { leaked: 'openai_api_key', since: '2026-11-20T08:00:00.000Z' }]
const rotated: [string, Facts] = ['rotated', { secret: 'openai_api_key' }]
const revoke: [string, Facts] = ['left-to-do', { secret: 'openai_api_key', what: 'revoke the old key' }]
const old = (state: string, revoked: boolean): [string, Facts] => [
  'old-key',
  { secret: 'openai_api_key', state, revoked },
]
const devices: [string, Facts] = ['left-to-do', { what: 'remove the paired devices', why: 'nobody answers' }]

function ended(...notes: [string, Facts][]) {
  const of = new World().begin()
  for (const [step, facts] of notes) of.note(step, facts)
  const left = leftIn(of)
  return { left, code: endOf({ ...green, left }) }
}

describe('a case that is through, and whose checks all pass', () => {
  it.each([
    ['a leaked secret that nothing has replaced', [named]],
    ['a new key that nobody brought', [named, revoke]],
    ['an old key that its provider still accepts', [named, rotated, old('accepted', true), revoke]],
    ['an old key that nobody has revoked, or asked about', [named, rotated, old('unknown', false), revoke]],
    ['the devices that could not be removed', [named, rotated, old('refused', true), devices]],
    ['any secret, where the container itself was compromised', [rotated, revoke]],
  ])('ends with 1 over %s', (_what, notes) => {
    expect(ended(...notes)).toMatchObject({ code: Exit.failed, left: [{ state: 'in force' }] })
  })

  it('ends with 3 where an old key is dead by a person’s word alone', () => {
    const { code, left } = ended(named, rotated, old('unknown', true), revoke)
    expect([code, left]).toEqual([
      Exit.unknown,
      [{ state: 'unknown', words: 'secret openai_api_key; what revoke the old key' }],
    ])
  })

  it.each([
    ['was done since', [named, revoke, rotated, devices, ['devices-removed', { removed: 2 }]]],
    ['was proven dead', [named, rotated, revoke, old('refused', true)]],
  ] as [string, [string, Facts][]][])('ends with 0 over what %s, and leaves nothing', (_what, notes) => {
    expect(ended(...notes)).toEqual({ code: Exit.done, left: [] })
  })

  it.each([
    ['what has not leaked', { secret: 'xai_api_key', what: 'revoke the old key' }],
    ['what is a matter of taste', { what: 'decide about the stricter deployment.yaml' }],
  ])('ends with 0 over %s, and says that it is left', (_what, facts) => {
    expect(ended(named, rotated, ['left-to-do', facts])).toMatchObject({
      code: Exit.done,
      left: [{ state: 'noted' }],
    })
  })
})
