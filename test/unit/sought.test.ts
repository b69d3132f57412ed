/** A drill that looks for nothing succeeds over nothing: what a runbook has to find is not for the runbook alone to say. */
import { describe, expect, it } from 'vitest'
import { RUNBOOKS, runbook as shipped } from '../../src/deployment/render.ts'
import { type Runbook, readRunbook } from '../../src/procedure/runbook.ts'
import { Secret } from '../../src/secret.ts'
import { EFFECTS } from '../../steps/incident/index.ts'
import { soughtBy } from '../../steps/incident/sought.ts'

const planted = ['evidence.tmpfs', 'evidence.processes', 'evidence.logs'].map(action => ({
  ...{ what: `what ${action} finds`, mark: new Secret('m'), by: [action, 'evidence.records'] },
}))
const tmpfs = { what: 'a file in /tmp', mark: new Secret('t'), by: ['evidence.tmpfs'] }

function without(id: string, ...actions: string[]): Runbook {
  const read = readRunbook(shipped('container-compromised', ''), 'runbook', EFFECTS)
  const steps = read.steps.filter(({ does }) => !('action' in does && actions.includes(does.action)))
  return { ...read, id, steps }
}

describe('a drill', () => {
  it.each(RUNBOOKS)(
    'of %s as it comes has everything that it looks for to find, and fails over nothing else',
    id => {
      const { sought, missed } = soughtBy(readRunbook(shipped(id, ''), id, EFFECTS), planted)
      expect([sought, missed]).toEqual([planted, []])
    },
  )

  it('fails where the step that finds something was taken out of a runbook that came with it', () => {
    const { sought, unsought, missed } = soughtBy(without('container-compromised', 'evidence.tmpfs'), [
      ...planted,
      tmpfs,
    ])
    expect(sought.map(({ what }) => what)).toEqual([
      'what evidence.processes finds',
      'what evidence.logs finds',
    ])
    expect(unsought).toEqual(['what evidence.tmpfs finds', 'a file in /tmp'])
    expect(missed).toEqual([
      expect.stringContaining('what evidence.tmpfs finds (no step'),
      expect.stringContaining('a file in /tmp (no step'),
    ])
  })

  it('of a runbook of one’s own finds what that looks for; the rest is named, and no failure', () => {
    const { sought, unsought, missed } = soughtBy(without('mine', 'evidence.tmpfs'), [tmpfs, ...planted])
    expect([sought.length, unsought.length, missed]).toEqual([2, 2, []])
  })

  it('of a runbook that looks for nothing fails', () => {
    const { sought, missed } = soughtBy({ id: 'mine', steps: [] }, planted)
    expect([sought, missed]).toEqual([[], [expect.stringContaining('looks for nothing')]])
  })
})
