import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { ensureDirectory, temporaryFolder, writeAtomic } from '../../src/deployment/files.ts'
import { validateConfig } from '../../src/gateway/judges.ts'
import type { Step } from '../../src/procedure/step.ts'
import { type Found, must, type SetupContext } from './context.ts'
import { ownerOf } from './folder.ts'

const CONFIG = 'config/openclaw.json'

/**
 * The image that will run the configuration judges it before it replaces anything: OpenClaw refuses to start with a
 * key it does not know, and under a restart policy that is a loop nobody sees.
 */
export const checkConfig: Step<Pick<SetupContext, 'layout' | 'docker' | 'launch' | 'journal' | 'found'>> = {
  id: 'config.check',
  title: 'Have the image itself check openclaw.json',
  effect: 'reads',
  skip({ launch, journal, found }) {
    if (!launch) return 'nothing is launched; the next run that launches checks it'
    const last = journal
      .read()
      .findLast(event => event.event === 'step-done' && event.step === 'gateway.launch')?.facts
    const { config, image } = checkedFacts(found)
    return last?.config === config && last.image === image
      ? 'neither it nor the image has changed since it was checked'
      : undefined
  },
  async run({ docker, layout, found }, signal) {
    const ownership = must(found, 'ownership')
    const image = must(found, 'image').pinned
    const config = plannedConfig(found)
    const staging = temporaryFolder(resolve(layout.own, '.ocs-check-'))
    try {
      const owner = ownerOf(config, ownership)
      ensureDirectory(staging, 0o700, owner)
      writeAtomic(resolve(staging, 'openclaw.json'), config.content, config.mode, owner)
      const { uid, gid } = ownership.user
      return { saw: await validateConfig(docker, image, `${uid}:${gid}`, staging, signal) }
    } finally {
      rmSync(staging, { recursive: true, force: true })
    }
  },
}

/** What was checked, and by whom: written into the journal when the gateway was started with it. */
export function checkedFacts(found: Found): { config: string; image: string } {
  return {
    config: createHash('sha256').update(plannedConfig(found).content).digest('hex'),
    image: must(found, 'image').pinned,
  }
}

function plannedConfig(found: Found) {
  const config = must(found, 'plan').files.find(file => file.path === CONFIG)
  if (config === undefined) throw new Error('the plan has no openclaw.json')
  return config
}
