import type { Answers } from '../../src/deployment/answers.ts'
import { readIfPresent, writeAtomic } from '../../src/deployment/files.ts'
import { AppArmorProfile, confinementOf, profileText } from '../../src/docker/confinement.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { SetupContext } from './context.ts'

type Needs = Pick<SetupContext, 'docker' | 'launch' | 'run'> & { answers: Answers & { apparmor: boolean } }

/**
 * Before the container is made: one that names a profile the kernel has not is refused by the engine. What is written
 * down is loaded by the machine itself at every boot.
 */
export const loadProfile: Step<Needs> = {
  id: 'apparmor.load',
  title: 'Load the AppArmor profile',
  effect: 'writes',
  async skip({ answers, docker, launch, run }) {
    if (!launch) return 'nothing is launched'
    if (!answers.apparmor) return 'not asked for'
    if (confinementOf(await docker.info()) !== 'apparmor') return 'this engine has no AppArmor'
    const profile = new AppArmorProfile(run, answers.name)
    return readIfPresent(profile.path) === profileText(answers.name) && profile.isEnforced()
      ? 'it is loaded'
      : undefined
  },
  async run({ answers, run }) {
    const profile = new AppArmorProfile(run, answers.name)
    const text = profileText(answers.name)
    await profile.check(text)
    await profile.load(text)
    writeAtomic(profile.path, text, 0o644)
    return { saw: `${profile.name}, again after every boot (${profile.path})` }
  },
  async undo({ answers, run }) {
    const profile = new AppArmorProfile(run, answers.name)
    // An earlier one that was there stays: the container that runs has it.
    if (readIfPresent(profile.path) !== undefined) return
    await profile.unload(profileText(answers.name))
  },
}
