import { basename, dirname, resolve } from 'node:path'
import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import { parseJson } from '../../src/json.ts'
import { ours, passIf, type VerifyCheck } from './check.ts'
import { at } from './tree.ts'

/** The seed's "Use different tokens per environment". Fingerprints are compared, tokens are not read. */
export const tokenOwn: VerifyCheck = {
  id: 'token.own',
  title: 'No deployment beside this one has the same token',
  line: 1,
  threat: 'credential leakage',
  severity: 'medium',
  kind: 'static',
  remedy: 'Give each environment a token of its own: one that leaks must open one gateway only.',
  refs: { seed: '1. Gateway Authentication' },
  async run(world) {
    ours(world)
    const own = (await world.token()).fingerprint(GATEWAY_TOKEN)
    const around = dirname(world.layout.root)
    const others: string[] = []
    const same: string[] = []
    for (const name of world.names(around)) {
      const journal = resolve(around, name, '.secure/journal.jsonl')
      if (name === basename(world.layout.root) || world.file(journal) === undefined) continue
      others.push(name)
      if (lastFingerprint(await world.text(journal)) === own) same.push(name)
    }
    return passIf(
      same.length === 0,
      `compared fingerprints with ${others.length} deployments in ${around}: ${same.length === 0 ? 'none has this one' : `the same in ${same.join(', ')}`}`,
    )
  },
  sabotage: {
    weaken(twin) {
      const facts = { [GATEWAY_TOKEN]: twin.token.fingerprint(GATEWAY_TOKEN) }
      twin.write('../staging/.secure/journal.jsonl', `${JSON.stringify({ step: 'secrets.store', facts })}\n`)
    },
  },
}

/** The fingerprint that another deployment's journal has for its present token. */
function lastFingerprint(journal: string): unknown {
  return journal
    .split('\n')
    .map(line => at(parseJson(line), 'facts', GATEWAY_TOKEN))
    .findLast(fingerprint => fingerprint !== undefined)
}
